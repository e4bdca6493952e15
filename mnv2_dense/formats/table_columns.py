"""Which column of a table of classes holds what."""

import csv
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from mnv2_dense.errors import UserError
from mnv2_dense.quoting import quote

Color = tuple[int, int, int]

Line = tuple[int, str]
"""Its number, and its text."""

DELIMITERS = ",;\t"
NAME_WORDS = (
    *("name", "names", "class", "classes", "label", "labels"),
    *("category", "classname", "labelname"),
)
"""What the column of names is called, in lower case without spaces and underscores."""
_ID_WORDS = ("id", "index", "idx", "labelid", "classid", "value", "pixelvalue", "trainid")
_COLOR_WORDS = (("r", "red"), ("g", "green"), ("b", "blue"))

_EXPECTED = "name,r,g,b, unless a header names the columns (id, name, r, g, b)"


class Row(NamedTuple):
    """A class; no id or colour where the table has none."""

    name: str
    color: Color | None = None
    number: int | None = None


def read_columns(lines: Sequence[Line], path: Path) -> list[Row]:
    """The classes of a table whose first line has a delimiter.

    Raises:
        UserError: A line has not the columns of the header, or of `name,r,g,b` without one.
    """
    delimiter = max(DELIMITERS, key=lines[0][1].count)
    texts = [text for _, text in lines]
    reader = csv.reader(texts, delimiter=delimiter, skipinitialspace=True)
    cells = [[cell.strip() for cell in row] for row in reader]
    if len(cells) != len(lines):
        raise UserError(f"{path}: a quotation mark that is not closed on its line")
    rows = list(zip((number for number, _ in lines), cells, strict=True))
    if not is_header(cells[0]):
        return [_plain(row, f"{path} line {number}") for number, row in rows]
    columns = _columns(cells[0], cells[1:], path)
    return [_row(row, columns, f"{path} line {number}") for number, row in rows[1:]]


def is_header(cells: Iterable[str]) -> bool:
    """Whether the first line's cells are names of columns, the classes' among them."""
    words = [_word(cell) for cell in cells]
    return any(word in NAME_WORDS for word in words) and not any(map(_is_whole, words))


def color_of(texts: Sequence[str], place: str) -> Color:
    """Three numbers from 0 to 255.

    Raises:
        UserError: They are something else.
    """
    numbers = [int(text) if _is_whole(text) else -1 for text in texts]
    if len(numbers) != 3 or not all(0 <= number <= 255 for number in numbers):
        raise UserError(
            f"{place}: {quote(','.join(texts))} is no colour of three numbers from 0 to 255"
        )
    return numbers[0], numbers[1], numbers[2]


def _word(cell: str) -> str:
    return re.sub(r"[\s_]", "", cell).lower()


def _is_whole(text: str) -> bool:
    return re.fullmatch(r"[0-9]{1,9}", text) is not None


def _plain(cells: Sequence[str], place: str) -> Row:
    sound = len(cells) >= 4 and cells[0] and not _is_whole(cells[0])
    if not sound or not all(map(_is_whole, cells[1:4])):
        raise UserError(f"{place}: {quote(','.join(cells))!r} is no {_EXPECTED}")
    return Row(cells[0], color_of(cells[1:4], place))


class _Columns(NamedTuple):
    """Positions of columns."""

    name: int
    number: int | None
    color: tuple[int, ...]


def _columns(header: Sequence[str], rows: Sequence[Sequence[str]], path: Path) -> _Columns:
    words = [_word(cell) for cell in header]
    shown = quote(",".join(header))
    if len(set(words)) < len(words):
        raise UserError(f"{path}: the header has a column twice: {shown}")
    called = [place for place, word in enumerate(words) if word in NAME_WORDS]
    texts = [place for place in called if not _holds_numbers(rows, place)]
    named = [place for place in texts if words[place] == "name"] or texts or called[:1]
    if len(named) > 1:
        raise UserError(f"{path}: several columns could be the names: {shown}")
    ids = [place for place, word in enumerate(words) if word in _ID_WORDS]
    ids = ids or [place for place in called if place not in (*texts, *named)]
    if len(ids) > 1:
        raise UserError(f"{path}: several columns could be the ids: {shown}")
    color = [place for each in _COLOR_WORDS for place, word in enumerate(words) if word in each]
    if len(color) not in (0, 3):
        raise UserError(f"{path}: the header needs all of r, g and b, or none: {shown}")
    return _Columns(named[0], ids[0] if ids else None, tuple(color))


def _holds_numbers(rows: Sequence[Sequence[str]], column: int) -> bool:
    return all(column < len(row) and _is_whole(row[column]) for row in rows)


def _row(cells: Sequence[str], columns: _Columns, place: str) -> Row:
    needed = (columns.name, columns.number or 0, *columns.color)
    if max(needed) >= len(cells) or not cells[columns.name]:
        raise UserError(f"{place}: {quote(','.join(cells))!r} lacks columns of the header")
    color = color_of([cells[each] for each in columns.color], place) if columns.color else None
    if columns.number is None:
        return Row(cells[columns.name], color)
    number = cells[columns.number]
    if not _is_whole(number):
        raise UserError(f"{place}: the id {quote(number)!r} is no whole number of 0 or more")
    return Row(cells[columns.name], color, int(number))
