from typing import Literal

import pytest

from mnv2_dense.benchmarking.interleaving import Timing
from mnv2_dense.benchmarking.ratios import Ratio, divide


@pytest.mark.parametrize(
    ("value", "direction", "met"),
    [
        (0.4, "at most", True),
        (0.401, "at most", False),
        (0.4, "at least", True),
        (0.399, "at least", False),
    ],
)
def test_at_the_target_itself_it_is_reached(
    value: float, direction: Literal["at most", "at least"], met: bool
) -> None:
    assert Ratio("one / other", value, 1.0, 0.4, direction).met is met
    assert Ratio("one / other", value, 1.0, None, direction).met is None


def test_times_are_divided_by_medians_and_by_the_fastest() -> None:
    timings = {"one": Timing((4.0, 1.0, 100.0)), "other": Timing((2.0, 0.5, 3.0))}
    assert divide(timings, "one", "other", 2.5) == Ratio(
        "one / other", 2.0, 2.0, 2.5, calls=("one", "other")
    )
    named = divide(timings, "other", "one", 0.6, name="speed", direction="at least")
    assert (named.name, named.value, named.met) == ("speed", 0.5, False)
