"""One thing found, with what it takes to draw it."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from mnv2_dense.formats.problems import Level, Problem

Box = tuple[float, float, float, float]
"""xyxy in pixels of the picture."""


class Finding(NamedTuple):
    """A problem at one place.

    Attributes:
        problem: What is wrong, and where.
        pictures: Files that show it, beside each other; none if it cannot be drawn.
        boxes: Boxes on the first of them that show it.
        masks: Masks to show behind the pictures.
        caption: What stands below them; empty for the problem's place.
    """

    problem: Problem
    pictures: tuple[Path, ...] = ()
    boxes: tuple[Box, ...] = ()
    masks: tuple[Path, ...] = ()
    caption: str = ""


def without_pictures(problems: Iterable[Problem]) -> list[Finding]:
    """Findings that cannot be drawn."""
    return [Finding(problem) for problem in problems]


def name_box(path: Path, box: Box) -> str:
    """`a.jpg (corners 3, 3, 8, 33)`."""
    return f"{path.name} (corners {', '.join(f'{number:.6g}' for number in box)})"


def percent(part: int, whole: int) -> str:
    """`12 of 340 (3.5%)`."""
    return f"{part:,} of {whole:,} ({part / max(1, whole):.1%})"


def unreadable_split(split: str, error: Exception) -> Finding:
    """A split that cannot be read at all."""
    return Finding(Problem("unreadable_split", Level.ERROR, f"{split}: {error}", ""))
