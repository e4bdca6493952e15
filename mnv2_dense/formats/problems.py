"""What is wrong with a data set: collected while it is read, refused or listed afterwards."""

from collections.abc import Iterable, Sequence
from enum import IntEnum
from typing import NamedTuple

from mnv2_dense.errors import UserError
from mnv2_dense.ops.texts import list_first


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
    """

    kind: str
    level: Level
    title: str
    place: str
    remedy: str = ""


def errors_at(
    kind: str, title: str, places: Iterable[object], remedy: str = "", level: Level = Level.ERROR
) -> list[Problem]:
    """One problem per place, by default of those that training refuses."""
    return [Problem(kind, level, title, str(place), remedy) for place in places]


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
    places = list_first([problem.place for problem in found if problem.place])
    return f"{found[0].title} {places}".rstrip() + found[0].remedy
