"""Calls timed in turn, so that whatever else the machine does hits all of them alike."""

import gc
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

Call = Callable[[], Any]
PAUSE = 0.02
"""Seconds before each turn: the threads of some libraries wait busily after a call."""


@dataclass(frozen=True)
class Timing:
    """Seconds of every timed call, in order."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """Of all calls."""
        return statistics.median(self.seconds)

    @property
    def best(self) -> float:
        """Of the fastest call."""
        return min(self.seconds)

    def as_dict(self) -> dict[str, float | int]:
        """The figures, as JSON values in milliseconds."""
        return {
            "median_ms": 1000 * self.median,
            "min_ms": 1000 * self.best,
            "repetitions": len(self.seconds),
        }


def measure(
    calls: Mapping[str, Call],
    repetitions: int,
    *,
    advance: Callable[[], Any] = lambda: None,
    pause: float = PAUSE,
    warm: bool = True,
) -> dict[str, Timing]:
    """Times calls in rounds, each call once a round, in an order that changes.

    In its turn a call is made twice, and the second is timed: the first brings its weights and
    threads back after the others'. That one is left out where a call is long.

    Args:
        calls: By name.
        repetitions: Rounds.
        advance: Called after every turn, to show progress.
        pause: Seconds before every turn.
        warm: Make the call that is not timed.
    """
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    order, random = list(calls), Random(0)
    for name in order:  # What is allocated and chosen at a first call belongs to no round.
        calls[name]()
    collects = gc.isenabled()
    gc.freeze()  # What is there already is not looked at between rounds.
    gc.disable()
    try:
        for _ in range(repetitions):
            random.shuffle(order)
            for name in order:
                time.sleep(pause)
                if warm:
                    calls[name]()
                start = time.perf_counter()
                calls[name]()
                seconds[name].append(time.perf_counter() - start)
                advance()
            gc.collect()
    finally:
        gc.unfreeze()
        if collects:
            gc.enable()
    return {name: Timing(tuple(values)) for name, values in seconds.items()}
