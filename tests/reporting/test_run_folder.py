import io
from pathlib import Path
from typing import Any

import pytest
import torch

from mnv2_dense.errors import UserError
from mnv2_dense.ops.checkpoint_file import read_seal, write_sealed
from mnv2_dense.reporting.run_folder import Measured, find_evaluation, open_run, split_config
from mnv2_dense.training.runs import describe_session
from tests.reporting.scenes import make_run, write_json

METRICS: dict[str, Any] = {"mAP": 0.5, "per_class": {}}


def save(run: Path, value: float) -> str:
    """A best checkpoint, and its seal."""
    path = run / "checkpoints" / "best.ckpt"
    with io.BytesIO() as file:
        write_sealed({"a": torch.tensor(value)}, file)
        path.write_bytes(file.getvalue())
    seal = read_seal(path)
    assert seal is not None
    return seal


def test_a_run_that_has_just_begun(tmp_path: Path) -> None:
    run = open_run(make_run(tmp_path / "run"))
    assert (run.best, run.environments, run.sessions, run.score) == (None, [], [], "mAP")
    assert run.log.problems == [
        "metrics.csv cannot be read (No such file or directory): there are no curves"
    ]
    assert open_run(make_run(tmp_path / "other", "segmentation")).score == "mIoU"


def test_the_config_is_that_of_the_last_session(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", "detection", "training.seed=1")
    text = (folder / "config.yaml").read_text()
    (folder / "config.yaml").unlink()
    for seed in (1, 2, 3):
        describe_session(folder, text.replace("seed: 1", f"seed: {seed}"))
    (folder / "environment-resumed-1.json").write_text("{")
    run = open_run(folder)
    assert run.config.training.seed == 3
    assert len(run.environments) == 2  # What is damaged is passed over.


def test_other_folders_are_no_runs(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(UserError, match=r"no folder of a run, as it has no config\.yaml"):
            open_run(folder)
    (tmp_path / "config.yaml").write_text("task: other\n")
    with pytest.raises(UserError, match="task cannot be"):
        open_run(tmp_path)


def test_the_evaluation_at_the_end_is_preferred(tmp_path: Path) -> None:
    run = open_run(make_run(tmp_path))
    assert find_evaluation(run, []) is None
    write_json(tmp_path / "evaluation-best" / "metrics.json", METRICS)
    assert find_evaluation(run, []) == Measured(tmp_path / "evaluation-best", METRICS)
    write_json(tmp_path / "metrics.json", METRICS)
    assert find_evaluation(run, []) == Measured(tmp_path, METRICS)


def test_an_evaluation_of_an_earlier_best_is_not_taken(tmp_path: Path) -> None:
    run = open_run(make_run(tmp_path))
    old = save(tmp_path, 1.0)
    write_json(tmp_path / "metrics.json", {**METRICS, "checkpoint_seal": old})
    assert find_evaluation(run, []) is not None
    new = save(tmp_path, 2.0)
    problems: list[str] = []
    assert find_evaluation(run, problems) is None
    assert problems == [
        f"{tmp_path / 'metrics.json'} is of another checkpoint than best.ckpt as it is now, "
        "not used"
    ]
    write_json(tmp_path / "evaluation-best" / "metrics.json", {**METRICS, "checkpoint_seal": new})
    found = find_evaluation(run, [])
    assert found is not None
    assert found.folder.name == "evaluation-best"


@pytest.mark.parametrize(
    "content",
    [
        *([], {}, {"mAP": 0.5}, {"mAP": "x", "per_class": {}}, {"mAP": 0.5, "per_class": 1}),
        *({"mAP": value, "per_class": {}} for value in (float("nan"), float("inf"), 5)),
    ],
)
def test_damaged_numbers_are_not_taken(tmp_path: Path, content: object) -> None:
    run = open_run(make_run(tmp_path))
    write_json(tmp_path / "metrics.json", content)
    problems: list[str] = []
    assert find_evaluation(run, problems) is None
    assert problems == [f"{tmp_path / 'metrics.json'} is damaged and not used"]


def test_a_joint_run_has_two_tasks(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("task: joint\n")
    run = open_run(tmp_path)
    assert list(split_config(run.config)) == ["detection", "segmentation"]
    boxes: dict[str, Any] = METRICS
    masks: dict[str, Any] = {"mIoU": 0.25, "per_class": {}}
    write_json(tmp_path / "metrics.json", {"score": 0.5, "detection": boxes})
    assert find_evaluation(run, []) is None
    both = {"score": 0.5, "detection": boxes, "segmentation": masks}
    write_json(tmp_path / "metrics.json", both)
    found = find_evaluation(run, [])
    assert found is not None
    assert (found.of("detection"), found.of("segmentation")) == (boxes, masks)
