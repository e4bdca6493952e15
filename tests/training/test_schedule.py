from typing import Any

import pytest

from mnv2_dense.training.schedule import learning_rate_factor


def factor(step: int, name: str = "cosine", **changes: Any) -> float:
    settings: dict[str, Any] = {
        "total_steps": 100,
        "warmup_steps": 20,
        "warmup_factor": 0.1,
        "final_factor": 0.2,
        "power": 2.0,
        "milestones": (0.5, 0.9),
        "gamma": 0.1,
    }
    return learning_rate_factor(step, name=name, **(settings | changes))


@pytest.mark.parametrize("name", ["constant", "cosine", "poly", "step"])
def test_warm_up_is_linear_and_ends_at_the_peak(name: str) -> None:
    assert factor(0, name) == pytest.approx(0.1)
    assert factor(10, name) == pytest.approx(0.55)
    assert factor(20, name) == 1.0


@pytest.mark.parametrize(
    ("name", "middle", "end"), [("constant", 1, 1), ("cosine", 0.6, 0.2), ("poly", 0.4, 0.2)]
)
def test_shape_runs_over_the_steps_after_the_warm_up(name: str, middle: float, end: float) -> None:
    assert factor(60, name) == pytest.approx(middle)
    assert factor(100, name) == pytest.approx(end)
    assert factor(10_000, name) == pytest.approx(end)


def test_milestones_are_shares_of_the_whole_run() -> None:
    values = [factor(step, "step") for step in (49, 50, 89, 90, 200)]
    assert values == pytest.approx([1, 0.1, 0.1, 0.01, 0.01])


def test_milestone_falls_on_the_step_it_names() -> None:
    # 0.7 * 10 rounds to above 7 in floating point for some lengths; the step must not slip.
    for total in range(10, 2000, 10):
        at = total * 7 // 10
        settings: dict[str, Any] = {"total_steps": total, "milestones": (0.7,), "warmup_steps": 0}
        assert factor(at - 1, "step", **settings) == 1.0
        assert factor(at, "step", **settings) == pytest.approx(0.1)


def test_no_warm_up() -> None:
    assert factor(0, warmup_steps=0) == 1.0


def test_warm_up_longer_than_the_run_stays_a_warm_up() -> None:
    assert factor(50, warmup_steps=200) == pytest.approx(0.325)
    assert factor(200, warmup_steps=200) == 1.0


def test_factor_never_rises_after_the_warm_up() -> None:
    for name in ("cosine", "poly", "step"):
        values = [factor(step, name) for step in range(20, 110)]
        assert values == sorted(values, reverse=True)


def test_unknown_name() -> None:
    with pytest.raises(ValueError, match="linear"):
        factor(0, "linear")
