"""What an inspection found, ready to be printed, written as JSON and drawn as a page."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from mnv2_dense.drawing import Picture
from mnv2_dense.formats.problems import Level, Problem


class Histogram(NamedTuple):
    """Counts of a quantity over bins, with a bar per bin.

    Attributes:
        title: What is counted: `Box size (square root of the area, pixels of the input)`.
        labels: One per bin.
        counts: By split, one per bin.
        ordered: Whether the bins follow one another, as ranges do and classes do not.
    """

    title: str
    labels: list[str]
    counts: dict[str, list[int]]
    ordered: bool = True


class Example(NamedTuple):
    """A picture of one of the worst cases.

    Attributes:
        kind: Of the problem that it shows.
        caption: Which picture, and what is wrong with it.
        picture: RGB [H, W, 3], with its boxes or masks drawn where there are any.
    """

    kind: str
    caption: str
    picture: Picture


@dataclass
class Report:
    """An inspection's result.

    Attributes:
        source: The config or folder that was inspected.
        task: `detection` or `segmentation`.
        data: The data section that reads the set, key by key.
        facts: By split, what it holds, each under its name: `images`, `boxes`, `crowd boxes`.
        problems: Everything found, notes included.
        histograms: Class balance, sizes, aspect ratios.
        examples: Pictures of the worst cases.
        folders: Where the pictures, masks and labels lie.
        seconds: How long it took.
    """

    source: str
    task: str
    data: dict[str, object]
    facts: dict[str, dict[str, float]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    histograms: list[Histogram] = field(default_factory=list)
    examples: list[Example] = field(default_factory=list)
    folders: list[Path] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def level(self) -> Level:
        """The worst level of all problems: that of a set without any is `NOTE`."""
        return max((problem.level for problem in self.problems), default=Level.NOTE)
