"""Ratios of what was timed, beside what they should be."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from mnv2_dense.benchmarking.interleaving import Timing

Timings = Mapping[str, Timing]


@dataclass(frozen=True)
class Ratio:
    """One line of the table.

    Attributes:
        name: What was divided by what.
        value: Of the medians.
        best: The same of each call's fastest.
        target: What it should be; None where nothing is asked.
        direction: Whether the target is the most or the least.
        calls: Names of the two that were divided, if it was just two.
    """

    name: str
    value: float
    best: float
    target: float | None = None
    direction: Literal["at most", "at least"] = "at most"
    calls: tuple[str, ...] = ()

    @property
    def met(self) -> bool | None:
        """Whether the medians' ratio reaches the target."""
        if self.target is None:
            return None
        return (
            self.value <= self.target if self.direction == "at most" else self.value >= self.target
        )


def divide(
    timings: Timings,
    first: str,
    second: str,
    target: float | None = None,
    *,
    name: str | None = None,
    direction: Literal["at most", "at least"] = "at most",
) -> Ratio:
    """The time of one call divided by that of another."""
    one, other = timings[first], timings[second]
    return Ratio(
        name or f"{first} / {second}",
        one.median / other.median,
        one.best / other.best,
        target,
        direction,
        (first, second),
    )
