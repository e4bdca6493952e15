"""What is wrong with a data set: collected while it is read, refused or listed afterwards."""

from collections.abc import Iterable, Sequence
from enum import IntEnum
from typing import NamedTuple

from mnv2_dense.errors import UserError
from mnv2_dense.ops.texts import list_first
from mnv2_dense.quoting import quote

KEPT = 1000
"""Places of one title that are kept."""
LONGEST_PLACE = 300
"""Characters of a place, that strangers may have named."""


class Level(IntEnum):
    """How much a problem matters."""

    NOTE = 0
    """Good to know; nothing is lost."""
    PROBLEM = 1
    """Training works, but something is left out, changed or doubtful."""
    ERROR = 2
    """Training refuses the data."""


class Problem(NamedTuple):
    """One thing found in a data set.

    Attributes:
        kind: Its kind in one word, for programs: `missing_picture`.
        level: How much it matters.
        title: What is wrong, in a form that a list of places can follow:
            `a.json: duplicate ids in 'images':`.
        place: Where: a file, an id.
        remedy: What to do, or nothing.
        count: How many it stands for: of a title that has a million places only the first
            `KEPT` are kept, and the last of them stands for the others too.
    """

    kind: str
    level: Level
    title: str
    place: str
    remedy: str = ""
    count: int = 1


class Places:
    """Places of one title, counted; the first `KEPT` are kept."""

    def __init__(self) -> None:
        self._first: list[str] = []
        self._count = 0

    def add(self, place: object) -> None:
        """Takes one more."""
        self._count += 1
        if self._count <= KEPT:
            self._first.append(quote(str(place), LONGEST_PLACE))

    def problems(
        self, kind: str, title: str, remedy: str = "", level: Level = Level.ERROR
    ) -> list[Problem]:
        """One problem per place; after `KEPT` the last one stands for all others."""
        found = [Problem(kind, level, title, place, remedy) for place in self._first]
        if self._count > KEPT:
            found[-1] = found[-1]._replace(count=1 + self._count - KEPT)
        return found


def errors_at(
    kind: str, title: str, places: Iterable[object], remedy: str = "", level: Level = Level.ERROR
) -> list[Problem]:
    """The problems of `Places`, by default of those that training refuses."""
    found = Places()
    for place in places:
        found.add(place)
    return found.problems(kind, title, remedy, level)


def total(problems: Iterable[Problem]) -> int:
    """How many there are, those counted that were not kept."""
    return sum(problem.count for problem in problems)


def group(problems: Iterable[Problem]) -> dict[str, list[Problem]]:
    """Problems by title, in the order of their first ones."""
    groups: dict[str, list[Problem]] = {}
    for problem in problems:
        groups.setdefault(problem.title, []).append(problem)
    return groups


def refuse(problems: Sequence[Problem]) -> None:
    """Does nothing if training can do with all of the problems.

    Raises:
        UserError: There are errors; the message has a line for each title, with its first places.
    """
    groups = group(problem for problem in problems if problem.level == Level.ERROR)
    lines = [describe(found) for found in groups.values()]
    if len(lines) == 1:
        raise UserError(lines[0])
    if lines:
        raise UserError(f"{len(lines)} kinds of mistakes in the data\n  " + "\n  ".join(lines))


def describe(found: Sequence[Problem]) -> str:
    """Problems of one title in a line."""
    named = [problem for problem in found if problem.place]
    listed = list_first([problem.place for problem in named], total(named))
    return f"{found[0].title} {listed}".rstrip() + found[0].remedy
