"""One of YOLO's text files: a box or an outline per line."""

import math
from pathlib import Path
from typing import NamedTuple

from mnv2_dense.formats.numbers import parse_number
from mnv2_dense.formats.problems import Level
from mnv2_dense.quoting import quote
from mnv2_dense.small_files import read_start

MAX_BYTES = 16 << 20
MAX_LINES = 100_000
MAX_COLUMNS = 100_001
"""Of the class and an outline of fifty thousand points."""
ROUNDING = 1e-5
"""Six decimals may add up to a little more than 1."""


class Label(NamedTuple):
    """A line: its number from 1, the class, and x, y, width, height as shares of the picture."""

    line: int
    label: int
    box: tuple[float, float, float, float]


class Finding(NamedTuple):
    """Something about a line (0: the whole file)."""

    kind: str
    level: Level
    title: str
    line: int
    detail: str = ""


class LineError(ValueError):
    """What is wrong with a line."""

    def __init__(self, kind: str, title: str, detail: str) -> None:
        super().__init__(detail)
        self.kind = kind
        self.title = title
        self.detail = detail


def read_labels(file: Path, num_classes: int) -> tuple[list[Label], list[Finding]]:
    """The lines of a file that can be used, and what was found.

    `class center_x center_y width height`, or `class x1 y1 x2 y2 x3 y3 ...`: an outline, which
    becomes its extent. Boxes that are not finite or stick out of the picture stay as they are. A
    line that stands twice is taken once.
    """
    try:
        data = read_start(file, MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise ValueError(f"larger than {MAX_BYTES >> 20} MiB")
        lines = data.decode("utf-8-sig").splitlines()
        if len(lines) > MAX_LINES:
            raise ValueError(f"more than {MAX_LINES:,} lines")
    except (OSError, ValueError) as error:
        title = "label files that cannot be read:"
        return [], [Finding("unreadable_labels", Level.ERROR, title, 0, str(error))]
    labels: dict[tuple[int, tuple[float, ...]], Label] = {}
    findings: list[Finding] = []
    for number, line in enumerate(lines, start=1):
        if line and not line.isspace():
            try:
                label, values = _parse(line, num_classes)
            except LineError as error:
                finding = Finding(error.kind, Level.ERROR, error.title, number, error.detail)
                findings.append(finding)
                continue
            findings += _remarks(number, values)
            if (label, values) in labels:
                title = "lines that stand twice, taken once:"
                findings.append(Finding("duplicate_box", Level.PROBLEM, title, number))
            else:
                labels[label, values] = Label(number, label, _box(values))
    return list(labels.values()), findings


def _parse(line: str, num_classes: int) -> tuple[int, tuple[float, ...]]:
    columns = line.split(maxsplit=MAX_COLUMNS)
    _check_columns(len(columns))
    try:
        label, *values = map(parse_number, columns)
    except ValueError:
        title = "lines that are not numbers:"
        raise LineError("bad_line", title, quote(line.strip())) from None
    if not (label.is_integer() and 0 <= label < num_classes):
        title = f"classes that are no whole number from 0 to {num_classes - 1} (data.yaml's names):"
        raise LineError("unknown_class", title, quote(columns[0], 20))
    if all(value > 1 for value in values):
        title = "boxes in pixels, which must be shares of the picture's width and height:"
        raise LineError("not_normalised", title, quote(" ".join(columns[1:5])))
    return int(label), tuple(values)


def _check_columns(count: int) -> None:
    if count == 6:
        title = "lines with a sixth column (a score, as predictions have), not labels:"
        raise LineError("bad_line", title, "")
    if count > MAX_COLUMNS:
        raise LineError("bad_line", f"lines of more than {MAX_COLUMNS:,} columns:", "")
    if count < 5 or count % 2 == 0:
        title = (
            "lines that are neither 'class center_x center_y width height' nor 'class x1 y1 x2 y2 "
            "x3 y3 ...':"
        )
        raise LineError("bad_line", title, f"{count} columns")


def _remarks(number: int, values: tuple[float, ...]) -> list[Finding]:
    found = []
    if len(values) > 4:
        title = "outlines, of which only the extent is used:"
        found.append(Finding("outline", Level.NOTE, title, number))
    if any(value < -ROUNDING or value > 1 + ROUNDING for value in values):
        title = "values out of the picture (below 0 or above 1):"
        found.append(Finding("out_of_picture", Level.PROBLEM, title, number))
    return found


def _box(values: tuple[float, ...]) -> tuple[float, float, float, float]:
    if len(values) == 4:
        x, y, width, height = values
        return x - width / 2, y - height / 2, width, height
    if not all(map(math.isfinite, values)):
        return math.nan, math.nan, math.nan, math.nan
    left, top = min(values[::2]), min(values[1::2])
    return left, top, max(values[::2]) - left, max(values[1::2]) - top
