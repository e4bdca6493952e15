"""Reads tables of class names and their colours in masks, as labelling tools write them."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from mnv2_dense.errors import UserError
from mnv2_dense.formats.class_names import check_class_names
from mnv2_dense.formats.table_columns import (
    DELIMITERS,
    Color,
    Line,
    Row,
    color_of,
    is_header,
    read_columns,
)
from mnv2_dense.ops.texts import list_first
from mnv2_dense.quoting import quote
from mnv2_dense.small_files import read_start

TABLES = (
    *("labelmap.txt", "class_dict.csv", "class_names.txt", "classes.txt"),
    "train/_classes.csv",
)
"""Names that tables have: CVAT's, CamVid's, labelme's, others', and Roboflow's."""
VOID_NAMES = ("void", "ignore", "ignored", "__ignore__")
"""Names, in lower case, of pixels that count for nothing."""
_LEFT_OUT = "__ignore__"
"""labelme's first line: no class, but the mask value -1, which is stored as 255."""

_VOID_ID = 255
_CVAT = re.compile(r"(?P<name>[^:]*):(?P<color>[^:,]*,[^:]*)(:.*)?")
_THREE_NUMBERS = re.compile(r"\d\s+\d+\s+\d")

MAX_BYTES = 100_000


class ColorTable(NamedTuple):
    """Classes in the order of their mask values.

    Attributes:
        names: One per class.
        colors: RGB of every class; None for a list of names alone.
        void: RGB of the line of id 255, which is no class.
    """

    names: tuple[str, ...]
    colors: tuple[Color, ...] | None
    void: Color | None = None

    def split_void(self) -> tuple["ColorTable", Color | None]:
        """The table without the first class that is called void, and that one's colour."""
        void = [place for place, name in enumerate(self.names) if name.lower() in VOID_NAMES]
        if not void or self.colors is None:
            return self, self.void
        kept = [place for place in range(len(self.names)) if place != void[0]]
        names = tuple(self.names[place] for place in kept)
        colors = tuple(self.colors[place] for place in kept)
        return ColorTable(names, colors), self.colors[void[0]]


def find_table(root: Path) -> Path | None:
    """The table in the root of a data set: one of `TABLES`, or else the only CSV of colours.

    Raises:
        UserError: There are several such CSV files.
    """
    named = (root / name for name in TABLES)
    if (known := next((path for path in named if path.is_file()), None)) is not None:
        return known
    found = [path for path in sorted(root.glob("*.csv")) if _is_table(path)]
    if len(found) > 1:
        raise UserError(
            f"{root} has several tables of colours: {list_first([path.name for path in found])}; "
            "name one in data.color_table"
        )
    return found[0] if found else None


def read_table(path: Path) -> ColorTable:
    """Names, and colours where there are any: a class per line, in the order of mask values.

    Lines are CVAT's `name:r,g,b:parts:actions`, CSV's `name,r,g,b` (split by comma, semicolon or
    tab), or a name alone. A header may name the columns in another order, and one of ids, which
    then are the mask values. Empty lines and those that begin with # do not count.

    Raises:
        UserError: It cannot be read, holds a line of another form, fewer than two classes, a
            name or colour twice, or ids with gaps.
    """
    lines = _lines(path)
    rows = [row for row in _rows(lines, path) if row.name != _LEFT_OUT or row.color is not None]
    void = [row for row in rows if row.number == _VOID_ID and row.name.lower() in VOID_NAMES]
    rows = _by_number([row for row in rows if row not in void], path)
    names = tuple("background" if row.name == "_background_" else row.name for row in rows)
    colors = [row.color for row in rows if row.color is not None]
    if len(names) < 2:
        raise UserError(
            f"{path}: not a table of classes (two lines or more of name:r,g,b or name,r,g,b, or "
            "of names alone)"
        )
    check_class_names(names, path)
    _refuse_doubled(names, "names", path)
    _refuse_doubled(colors, "colours", path)
    return ColorTable(names, tuple(colors) or None, void[0].color if void else None)


def _rows(lines: Sequence[Line], path: Path) -> list[Row]:
    if any(_CVAT.fullmatch(text) for _, text in lines):
        return [_cvat_row(text, f"{path} line {number}") for number, text in lines]
    if lines and any(each in lines[0][1] for each in DELIMITERS):
        return read_columns(lines, path)
    if lines and is_header([lines[0][1]]):
        lines = lines[1:]
    for number, text in lines:
        if any(each in text for each in DELIMITERS) or _THREE_NUMBERS.search(text):
            raise UserError(
                f"{path} line {number}: {quote(text)!r} is no name alone, as the first line is, "
                "and no name,r,g,b"
            )
    if lines and all(re.match(r"\d+[\s:=]", text) for _, text in lines):
        raise UserError(
            f"{path}: numbers before the names; write id,name in a line each, below the header "
            "id,name"
        )
    return [Row(text) for _, text in lines]


def _cvat_row(text: str, place: str) -> Row:
    found = _CVAT.fullmatch(text)
    if found is None:
        raise UserError(f"{place}: {quote(text)!r} is no name:r,g,b, as other lines are")
    return Row(found["name"].strip(), color_of(found["color"].split(","), place))


def _by_number(rows: Sequence[Row], path: Path) -> list[Row]:
    """In the order of their ids, where they have ids."""
    numbers = [row.number for row in rows if row.number is not None]
    _refuse_doubled(numbers, "ids", path)
    highest = min(max(numbers, default=-1), _VOID_ID)
    gaps = sorted(set(range(highest + 1)) - set(numbers))
    if gaps:
        raise UserError(
            f"{path}: ids are the values in the masks and count from 0 up, but no line has "
            f"{list_first(gaps)}; add lines for them"
        )
    return sorted(rows, key=lambda row: row.number or 0)


def _lines(path: Path) -> list[Line]:
    try:
        data = read_start(path, MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise UserError(f"{path}: more than {MAX_BYTES:,} bytes, so not a table of classes")
        text = data.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read as a table of classes ({error})") from error
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), start=1)]
    return [(number, line) for number, line in lines if line and not line.startswith("#")]


def _is_table(path: Path) -> bool:
    try:
        return read_table(path).colors is not None
    except UserError:
        return False


def _refuse_doubled(values: Iterable[object], what: str, path: Path) -> None:
    doubled = [value for value, count in Counter(values).items() if count > 1]
    if doubled:
        raise UserError(f"{path}: {what} that several lines have: {list_first(doubled)}")
