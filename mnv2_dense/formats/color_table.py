"""Reads tables of class names and their colours in masks, as labelling tools write them."""

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from mnv2_dense.errors import UserError
from mnv2_dense.ops.texts import list_first

Color = tuple[int, int, int]

TABLES = ("labelmap.txt", "class_dict.csv", "class_names.txt", "classes.txt")
"""Names that tables have: CVAT's, CamVid's, labelme's, and others'."""
VOID_NAMES = ("void", "ignore", "ignored", "__ignore__")
"""Names, in lower case, of pixels that count for nothing."""
_LEFT_OUT = "__ignore__"
"""labelme's first line: no class, but the mask value -1, which is stored as 255."""

MAX_BYTES = 100_000


class ColorTable(NamedTuple):
    """Classes in the order of their mask values.

    Attributes:
        names: One per class.
        colors: RGB of every class; None for a list of names alone.
    """

    names: tuple[str, ...]
    colors: tuple[Color, ...] | None

    def split_void(self) -> tuple["ColorTable", Color | None]:
        """The table without the first class that is called void, and that one's colour."""
        void = [place for place, name in enumerate(self.names) if name.lower() in VOID_NAMES]
        if not void or self.colors is None:
            return self, None
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

    Lines are CVAT's `name:r,g,b:parts:actions`, CSV's `name,r,g,b` (a header is passed over), or
    a name alone. Empty lines and those that begin with # do not count.

    Raises:
        UserError: It cannot be read, holds a line of another form, fewer than two classes, or a
            name or colour twice.
    """
    rows = [_row(line, path) for line in _lines(path)]
    if len(rows) > 1 and rows[0][1] is None and rows[1][1] is not None:
        rows = rows[1:]
    rows = [row for row in rows if row[0] != _LEFT_OUT or row[1] is not None]
    names = tuple("background" if name == "_background_" else name for name, _ in rows)
    colors = [color for _, color in rows if color is not None]
    if len(names) < 2 or len(colors) not in (0, len(names)):
        raise UserError(
            f"{path}: not a table of classes (two lines or more of name:r,g,b or name,r,g,b, or "
            "of names alone)"
        )
    _refuse_doubled(names, "names", path)
    _refuse_doubled(colors, "colours", path)
    return ColorTable(names, tuple(colors) or None)


def _lines(path: Path) -> list[str]:
    try:
        with path.open("rb") as file:
            text = file.read(MAX_BYTES + 1).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read as a table of classes ({error})") from error
    if len(text) > MAX_BYTES:
        raise UserError(f"{path}: more than {MAX_BYTES:,} bytes, so not a table of classes")
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def _row(line: str, path: Path) -> tuple[str, Color | None]:
    """Name and colour of a line; no colour where the line has none, as a header has."""
    cvat = line.split(":")
    if len(cvat) >= 2 and (color := _color(cvat[1].split(","), path)) is not None:
        return cvat[0].strip(), color
    columns = next(csv.reader(io.StringIO(line), skipinitialspace=True), [""])
    if len(columns) >= 4 and (color := _color(columns[1:4], path)) is not None:
        return columns[0].strip(), color
    return line, None


def _color(texts: Sequence[str], path: Path) -> Color | None:
    try:
        numbers = [int(text) for text in texts]
    except ValueError:
        return None
    if len(numbers) != 3 or not all(0 <= number <= 255 for number in numbers):
        raise UserError(f"{path}: {','.join(texts)} is no colour of three numbers from 0 to 255")
    return numbers[0], numbers[1], numbers[2]


def _is_table(path: Path) -> bool:
    try:
        return read_table(path).colors is not None
    except UserError:
        return False


def _refuse_doubled(values: Iterable[object], what: str, path: Path) -> None:
    listed = list(values)
    doubled = [value for value in dict.fromkeys(listed) if listed.count(value) > 1]
    if doubled:
        raise UserError(f"{path}: {what} that several lines have: {list_first(doubled)}")
