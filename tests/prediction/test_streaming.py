import threading
import time
from collections.abc import Iterator

import pytest

from mnv2_dense.prediction.streaming import in_groups, in_order


def threads() -> set[str]:
    return {thread.name for thread in threading.enumerate()}


def test_results_come_in_order_from_several_threads() -> None:
    workers: set[str] = set()

    def work(number: int) -> int:
        workers.add(threading.current_thread().name)
        time.sleep(0.002 * (number % 3))
        return number * number

    before = threads()
    assert list(in_order(work, range(50), 3)) == [number * number for number in range(50)]
    assert len(workers) == 3
    assert threads() == before


def test_a_slow_taker_bounds_what_is_made() -> None:
    made: list[int] = []
    results = in_order(made.append, iter(range(1000)), 2)
    next(results)
    time.sleep(0.05)
    assert len(made) <= 5  # two per thread, and the one that was taken
    results.close()
    assert len(made) <= 6


def test_leaving_early_ends_all_threads_and_closes_the_source() -> None:
    closed = threading.Event()

    def source() -> Iterator[int]:
        try:
            yield from range(10**9)
        finally:
            closed.set()

    before = threads()
    for number in in_order(abs, source(), 2):
        if number == 3:
            break
    assert closed.wait(5)
    assert threads() == before


@pytest.mark.parametrize("place", ["work", "source"])
def test_an_error_comes_in_its_place(place: str) -> None:
    def source() -> Iterator[int]:
        yield from range(4)
        if place == "source":
            raise ValueError("at 4")
        yield 4

    def work(number: int) -> int:
        if number == 4:
            raise ValueError("at 4")
        return number

    results, before = in_order(work, source(), 2), threads()
    assert [next(results) for _ in range(4)] == [0, 1, 2, 3]
    with pytest.raises(ValueError, match="at 4"):
        next(results)
    assert threads() == before


def test_groups_are_whole_but_the_last() -> None:
    assert list(in_groups(range(5), 2)) == [[0, 1], [2, 3], [4]]
    assert list(in_groups([], 3)) == []
