"""Whether a run's loss has exploded, told from its first steps and its last."""

from collections.abc import Mapping, Sequence
from statistics import fmean, median_low

STEPS = 20
"""Steps at the beginning that the last ones, as many, are compared with."""

LEAST = 1.0
"""A lower loss at the beginning counts as this one: a trained network may start from 0.0001."""


class LossHistory:
    """The losses of a run's first and last optimiser steps.

    The loss has exploded when the median of the last 20 steps is more than `factor` times the
    mean of the first 20, or of `LEAST` if that is more. A median, because single batches may
    have any loss: more than half of the steps must be as bad. The first steps rather than the
    best ones, because a set that is learned by heart has steps of a loss near 0, and rises
    above those by any factor and comes back. A loss that explodes within the first steps and
    stays finite is not found.
    """

    def __init__(self, first: Sequence[float] = (), last: Sequence[float] = ()) -> None:
        self.first = list(first)
        self.last = list(last)

    def add(self, loss: float) -> None:
        """Takes in the loss of the next step."""
        if len(self.first) < STEPS:
            self.first.append(loss)
        self.last = [*self.last, loss][-STEPS:]

    @property
    def at_first(self) -> float:
        """What the last steps are compared with."""
        return max(fmean(self.first), LEAST)

    @property
    def at_last(self) -> float:
        """The median of the last steps; of the two in the middle, the lower."""
        return median_low(self.last)

    def exploded(self, factor: float) -> bool:
        """Whether the last steps are `factor` times worse than the first."""
        return len(self.last) == STEPS and self.at_last > factor * self.at_first

    def state_dict(self) -> Mapping[str, list[float]]:
        """Everything, in plain values."""
        return {"first": list(self.first), "last": list(self.last)}
