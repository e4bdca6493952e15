"""Which pictures a page shows: the best and the worst of a set, by a score of their own."""

from collections.abc import Mapping
from typing import NamedTuple


class Ranked(NamedTuple):
    """Pictures of a set.

    Attributes:
        best: Their keys, the best one first.
        worst: The worst one first; none of the best.
    """

    best: list[int]
    worst: list[int]


def rank(scores: Mapping[int, tuple[float, float]], count: int) -> Ranked:
    """The best and the worst pictures, at most `count` of each.

    Args:
        scores: By picture, its score, and how much it weighs among pictures of that score: of two
            perfect ones that with more objects is the better, of two bad ones that with more
            mistakes the worse. A picture that cannot be scored is not in it.
        count: Of each kind.
    """
    best = sorted(scores, key=lambda picture: (-scores[picture][0], -scores[picture][1], picture))
    worst = sorted(scores, key=lambda picture: (scores[picture][0], -scores[picture][1], picture))
    chosen = best[: min(count, (len(best) + 1) // 2)]
    others = [picture for picture in worst if picture not in set(chosen)]
    return Ranked(chosen, others[:count])
