"""Which pictures a page shows: the best and the worst of a set, by a score of their own."""

from collections.abc import Mapping
from typing import NamedTuple


class Standing(NamedTuple):
    """How a picture came off.

    Attributes:
        score: The more the better.
        seen: How much there was to get right, which tells pictures of equal score apart: objects
            found, or classes beside the first. With 0 it is no example of a good one.
        mistakes: How many, of pictures of equal score.
    """

    score: float
    seen: int = 1
    mistakes: int = 0


class Ranked(NamedTuple):
    """Pictures of a set.

    Attributes:
        best: Their keys, the best one first.
        worst: The worst one first; none of the best.
    """

    best: list[int]
    worst: list[int]


def rank(standings: Mapping[int, Standing], count: int) -> Ranked:
    """The best and the worst pictures, at most `count` of each.

    Of equal scores the best has the fewest mistakes, then the most that is seen; the worst the most
    mistakes. Pictures without anything seen are among the best only where there are no others.

    Args:
        standings: By picture. A picture that cannot be scored is not in it.
        count: Of each kind.
    """
    most = min(count, (len(standings) + 1) // 2)
    good = [picture for picture, own in standings.items() if own.seen] or list(standings)
    chosen = sorted(good, key=lambda picture: (_merit(standings[picture]), picture))[:most]
    others = [picture for picture in standings if picture not in set(chosen)]
    worst = sorted(others, key=lambda picture: (_blame(standings[picture]), picture))
    return Ranked(chosen, worst[:count])


def _merit(own: Standing) -> tuple[float, int, int]:
    return -own.score, own.mistakes, -own.seen


def _blame(own: Standing) -> tuple[float, int, int]:
    return own.score, -own.mistakes, -own.seen
