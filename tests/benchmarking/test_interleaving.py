import gc
import time

import pytest

from mnv2_dense.benchmarking.interleaving import Timing, measure


def test_every_call_is_timed_once_a_round_and_warmed_before() -> None:
    made: list[str] = []
    calls = {name: lambda name=name: made.append(name) for name in "abc"}
    timings = measure(calls, 4, pause=0)
    assert {name: len(timing.seconds) for name, timing in timings.items()} == dict.fromkeys(
        "abc", 4
    )
    assert made[:3] == ["a", "b", "c"]
    rounds = [made[start : start + 6] for start in range(3, len(made), 6)]
    assert len(rounds) == 4
    assert all(sorted(each) == sorted("aabbcc") for each in rounds)
    assert all(each[::2] == each[1::2] for each in rounds)  # twice in a row
    assert len({tuple(each) for each in rounds}) > 1  # not always in the same order


def test_long_calls_are_not_warmed() -> None:
    made: list[int] = []
    measure({"long": lambda: made.append(1)}, 3, pause=0, warm=False)
    assert len(made) == 1 + 3


def test_only_the_call_itself_is_timed() -> None:
    timings = measure({"short": lambda: None, "long": lambda: time.sleep(0.02)}, 2, pause=0.01)
    assert timings["long"].best >= 0.02
    assert timings["short"].median < 0.01


def test_garbage_is_collected_again_even_after_an_error() -> None:
    def fail() -> None:
        if not gc.isenabled():
            raise RuntimeError("in a round")

    with pytest.raises(RuntimeError, match="in a round"):
        measure({"fails": fail}, 1, pause=0)
    assert gc.isenabled()


def test_progress_is_told() -> None:
    turns: list[int] = []
    measure({"a": int, "b": int}, 3, advance=lambda: turns.append(1), pause=0)
    assert len(turns) == 6


def test_the_figures() -> None:
    assert Timing((0.003, 0.001, 0.002)).as_dict() == pytest.approx(
        {"median_ms": 2.0, "min_ms": 1.0, "repetitions": 3}
    )
