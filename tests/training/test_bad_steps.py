import json
import math
from pathlib import Path

import pytest
import torch

from mnv2_dense.training.bad_steps import BadStep, StepBatch, TakenStep
from mnv2_dense.training.reading import Reading


def batch(loss: float, *image_ids: int) -> dict[str, object]:
    return StepBatch(4, image_ids, {"loss": torch.tensor(loss)}).as_dict()


def test_message_names_the_pictures_of_the_processes_that_are_bad() -> None:
    processes = [[batch(1.0, 1, 2)], [batch(math.inf, 3, 4)], [batch(math.nan, 5)]]
    assert BadStep("loss", 12, 3, processes).message() == (
        "the training loss is inf at step 12, epoch 3, images 3, 4, 5"
    )


def test_message_of_a_gradient_names_its_parameters_and_all_pictures_shortly() -> None:
    processes = [[batch(1.0, *range(24))], [batch(1.0, 30)]]
    assert BadStep("gradient", 0, 0, processes, [f"p{i}" for i in range(7)]).message() == (
        "the training gradient is not finite in p0, p1, p2, p3, p4 and 2 more at step 0, epoch 0, "
        "images 0, 1, 2, 3, 4 and 20 more"
    )


def test_lines_are_json_of_every_reader(tmp_path: Path) -> None:
    """JSON has no NaN, though Python writes one."""
    for step in (1, 2):
        bad = BadStep("loss", step, 0, [[batch(math.nan, 7)]])
        bad.append_to(tmp_path / "bad.jsonl", left_out=step == 1)
    lines = (tmp_path / "bad.jsonl").read_text().splitlines()
    assert "NaN" not in lines[0]
    first, second = map(json.loads, lines)
    assert first["processes"] == [[{"batch": 4, "image_ids": [7], "losses": {"loss": "nan"}}]]
    assert (first["left_out"], second["left_out"], second["step"]) == (True, False, 2)


def taken(losses: list[float], norms: list[float]) -> TakenStep:
    numbers = Reading(torch.tensor([*losses, sum(norms)]))
    names = [f"p{i}" for i in range(len(norms))]
    return TakenStep(3, 1, [], names, [torch.tensor(each) for each in norms], numbers)


@pytest.mark.parametrize(
    ("losses", "norms", "verdict"),
    [
        ([2.0, 4.0], [1.0, 2.0], (3.0, None)),
        ([2.0], [1.0, math.inf], (2.0, "gradient")),
        ([2.0], [math.nan, 1.0], (2.0, "gradient")),
        ([2.0, math.inf], [1.0], (math.inf, "loss")),
        ([math.inf], [math.nan], (math.inf, "loss")),
    ],
)
def test_a_step_is_judged_by_its_loss_then_by_its_gradient(
    losses: list[float], norms: list[float], verdict: tuple[float, str | None]
) -> None:
    assert taken(losses, norms).judge() == verdict


def test_parameters_of_a_bad_gradient_are_named() -> None:
    assert taken([1.0], [1.0, math.nan, 2.0, math.inf]).bad_names() == ["p1", "p3"]
