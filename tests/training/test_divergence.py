from collections.abc import Iterable
from random import Random

import pytest

from mnv2_dense.training.divergence import STEPS, LossHistory

FACTOR = 10.0


def stops_at(losses: Iterable[float]) -> int | None:
    """The first step at which the history says that the loss has exploded."""
    history = LossHistory()
    for step, loss in enumerate(losses):
        history.add(loss)
        if history.exploded(FACTOR):
            return step
    return None


def test_explosion_is_found_when_half_of_the_window_is_in_it() -> None:
    assert stops_at([3.0] * 50 + [31.0] * 50) == 50 + STEPS // 2
    assert stops_at([3.0] * 50 + [29.0] * 50) is None
    assert stops_at([3.0 * 1.1**step for step in range(200)]) is not None


noise = Random(0)
CALM = {
    "constant": [5.0] * 200,
    "zero": [0.0] * 200,
    "noisy and falling": [20 * 0.99**step * noise.uniform(0.2, 3) for step in range(500)],
    "learned by heart, with spikes": [1e-4] * 50 + [1e-4, 1e-2, 1e-2, 1e-2] * 50,
    "learned by heart, lost and found": [1e-4] * 50 + [5.0] * 30 + [1e-4] * 50,
    "warm-up": [4 + 8 * min(1, step / 50) for step in range(200)],
    "one batch in three is beyond all bounds": [3.0, 3.0, 1e9] * 50,
    "batches without a box at first": [0.0] * 15 + [20.0] * 5 + [20.0] * 100,
}


@pytest.mark.parametrize("losses", CALM.values(), ids=CALM)
def test_no_false_alarm(losses: list[float]) -> None:
    assert stops_at(losses) is None


def test_resumed_history_is_the_same() -> None:
    history = LossHistory()
    for loss in range(35):
        history.add(loss / 3)
    again = LossHistory(**history.state_dict())
    assert again.state_dict() == history.state_dict()
    assert (again.at_first, again.at_last) == (history.at_first, history.at_last)
    assert history.first == [loss / 3 for loss in range(20)]
    assert history.last == [loss / 3 for loss in range(15, 35)]
