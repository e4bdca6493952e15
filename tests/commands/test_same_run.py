from pathlib import Path
from typing import Any

import pytest

from mnv2_dense.builders import build_task, read_split
from mnv2_dense.builders.fingerprint import fingerprint
from mnv2_dense.builders.opening import open_checkpoint
from mnv2_dense.commands.resuming import Resumed
from mnv2_dense.commands.same_run import check_resumable, count_images, describe_run
from mnv2_dense.errors import UserError
from mnv2_dense.ops.checkpoint_file import read_checkpoint
from mnv2_dense.training.checkpoint_io import CARD
from tests.commands.tiny import BATCH, config_of


class Case:
    """A checkpoint, and the task that a config builds to go on from it."""

    def __init__(self, run: Path, data: Path) -> None:
        self.path = run / "checkpoints" / "last.ckpt"
        self.content = read_checkpoint(self.path)
        self.data = data

    def check(self, *overrides: str, accept: bool = False, **card: Any) -> None:
        config = config_of(self.data, *overrides)
        task = open_checkpoint(self.path)[2]
        splits = (read_split(config, split) for split in ("train", "val"))
        task.card.update(describe_run(config, *splits), config=config.model_dump(mode="json"))
        for key, values in card.items():
            task.card[key] = {**task.card[key], **values}
        check_resumable(task, config, Resumed(self.path, self.content), accept_changes=accept)


@pytest.fixture
def case(trained_run: Path, shapes_set: Path) -> Case:
    return Case(trained_run, shapes_set)


def test_the_same_run_goes_on_without_a_word(
    case: Case, capsys: pytest.CaptureFixture[str]
) -> None:
    output = case.content[CARD]["config"]["training"]["output"]
    case.check(f"training.output={output}", "training.report=true")
    assert capsys.readouterr().out == ""


def test_harmless_changes_are_named(case: Case, capsys: pytest.CaptureFixture[str]) -> None:
    case.check("optimizer.learning_rate=0.5", "training.epochs=9", "augmentation.expand=0.25")
    line = capsys.readouterr().out
    assert line.startswith("changed since the checkpoint: augmentation.expand=0.25 (was 0.0); ")
    assert "training.epochs=9 (was 1)" in line
    assert "optimizer.learning_rate=0.5 (was " in line


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("input.height=96", r"input\.height=96 \(was 64\)"),
        ("anchors.min_scale=0.11", r"anchors\.min_scale=0\.11 \(was "),
        ("training.seed=3", r"training\.seed=3 \(was 0\)"),
        ("data.batch_size=2", rf"2 images per step \(was {BATCH}: "),
        ("training.accumulate_batches=2", r"8 images per step"),
        ("training.devices=3", r"12 images per step"),
        ("data.train_annotations=annotations/instances_val2017.json", "other training data"),
        ("data.val_annotations=annotations/instances_train2017.json", "other validation data"),
    ],
)
def test_dangerous_changes_are_refused_unless_accepted(
    case: Case, override: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    overrides = [override]
    if "annotations" in override:
        split = override[len("data.") :].split("_")[0]
        overrides.append(f"data.{split}_images={'val2017' if split == 'train' else 'train2017'}")
    with pytest.raises(UserError, match=f"{words}.*--accept-changes"):
        case.check(*overrides)
    case.check(*overrides, accept=True)
    assert "changed since the checkpoint: " in capsys.readouterr().out


def test_another_architecture_is_refused_also_when_accepted(
    trained_run: Path, shapes_set: Path
) -> None:
    case = Case(trained_run, shapes_set)
    wide = config_of(shapes_set, "backbone.width_mult=0.5")
    train, val = (read_split(wide, split) for split in ("train", "val"))
    task = build_task(wide, train.categories)
    task.card.update(describe_run(wide, train, val))
    resumed = Resumed(case.path, case.content)
    with pytest.raises(UserError, match=r"backbone\.width_mult=0\.5 \(was 0\.35\)"):
        check_resumable(task, wide, resumed)
    with pytest.raises(UserError, match="weights of another architecture"):
        check_resumable(task, wide, resumed, accept_changes=True)


def test_as_many_images_by_other_means_are_the_same_run(
    case: Case, capsys: pytest.CaptureFixture[str]
) -> None:
    case.check("data.batch_size=1", "training.devices=2", "training.accumulate_batches=2")
    out = capsys.readouterr().out
    assert "processes 2 (was 1)" in out
    assert "not bit for bit" in out


@pytest.mark.parametrize(
    ("machine", "words"),
    [
        ({"torch": "9.9"}, "torch 9.9 (was "),
        ({"threads": 77}, "threads 77 (was "),
        ({"device": "A GPU"}, "GPU kernels add in any order"),
    ],
)
def test_another_machine_is_said_not_to_be_exact(
    case: Case, machine: dict[str, Any], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    case.check(machine=machine)
    assert words in capsys.readouterr().out


def test_checkpoints_of_older_versions_say_nothing_of_data(case: Case) -> None:
    for key in ("data", "machine"):
        case.content[CARD].pop(key, None)
    case.check()


def test_another_optimiser_cannot_go_on(case: Case) -> None:
    with pytest.raises(UserError, match=r"was trained with optimizer\.name="):
        case.check("optimizer.name=sgd")


def test_trained_for_longer_than_wanted(case: Case) -> None:
    case.content["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"] = 5
    with pytest.raises(UserError, match=r"is of epoch 5, more than training\.epochs=1"):
        case.check()


@pytest.mark.parametrize("states", [[], [{}], [{"state": {}, "param_groups": []}], [3]])
def test_a_state_of_another_optimiser_is_refused(case: Case, states: list[Any]) -> None:
    case.content["optimizer_states"] = states
    with pytest.raises(UserError, match="state of its optimiser does not fit"):
        case.check()


def test_momenta_of_other_shapes_are_refused(case: Case) -> None:
    state = case.content["optimizer_states"][0]["state"]
    name = next(key for key, value in state[0].items() if getattr(value, "ndim", 0) > 0)
    state[0][name] = state[0][name].new_zeros(3)
    with pytest.raises(UserError, match="state of its optimiser does not fit"):
        case.check()


def test_images_per_step(shapes_set: Path) -> None:
    config = config_of(
        shapes_set, "training.devices=3", "training.num_nodes=2", "training.accumulate_batches=5"
    )
    assert count_images(config) == BATCH * 3 * 2 * 5


def test_a_checkpoint_says_what_it_was_trained_on(case: Case) -> None:
    data = case.content[CARD]["data"]
    assert data["train"] == fingerprint(read_split(config_of(case.data), "train"))
    assert data["val"] == fingerprint(read_split(config_of(case.data), "val"))
    assert case.content[CARD]["machine"]["processes"] == 1
