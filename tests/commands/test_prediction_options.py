import pytest

from mnv2_dense.commands.prediction_options import TOP, Options
from mnv2_dense.errors import UserError
from mnv2_dense.prediction.predictor import SCORE_THRESHOLD

BOXES = "detectors and joint networks"
TASKS = ("detection", "segmentation", "joint", "classification")
MAPS_TOO = "detectors, segmenters and joint networks"


@pytest.mark.parametrize(
    ("options", "refused"),
    [
        (
            Options("a", score_threshold=0.0),
            {"segmentation": BOXES, "classification": BOXES},
        ),
        (Options("a", top=1), dict.fromkeys(TASKS[:3], "classifiers")),
        (Options("a", engine="onnx"), {"classification": MAPS_TOO}),
        (Options("a", device="cuda"), {"classification": MAPS_TOO}),
        (Options("a", threads=1, batch=2, overrides=["input.height=3"]), {}),
    ],
    ids=["score threshold", "top", "engine", "device", "the others"],
)
def test_options_are_for_some_tasks(options: Options, refused: dict[str, str]) -> None:
    for task in TASKS:
        if task in refused:
            with pytest.raises(UserError, match=f"^--[a-z-]+ is for {refused[task]}; a is a "):
                options.check_task(task)
        else:
            options.check_task(task)


def test_zero_is_a_choice_and_no_default() -> None:
    assert Options("a").lowest_score == SCORE_THRESHOLD
    assert Options("a", score_threshold=0.0).lowest_score == 0
    assert (Options("a").classes, Options("a", top=1).classes) == (TOP, 1)
