import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from mnv2_dense.build import build_task
from mnv2_dense.commands.session import (
    check_batch,
    check_machine,
    check_resumable,
    check_same_categories,
    ensure_data,
    load_weights,
    open_checkpoint,
    read_data,
    say,
)
from mnv2_dense.config.loader import load_config
from mnv2_dense.config.schema import DetectionConfig
from mnv2_dense.errors import UserError
from mnv2_dense.structures import Category
from tests.commands.tiny import CONFIG, checkpoint, tiny_overrides, tree

CAT, DOG, COW = Category(1, "cat"), Category(2, "dog"), Category(3, "cow")


def config_of(data: Path, *overrides: str) -> DetectionConfig:
    return load_config(CONFIG, [*tiny_overrides(data, Path("runs")), *overrides])


def test_equal_classes_pass() -> None:
    check_same_categories([CAT, DOG], (CAT, DOG), "the files")


@pytest.mark.parametrize(
    ("second", "difference"),
    [([CAT], "one is longer"), ([CAT, COW], "dog.*cow"), ([DOG, CAT], "cat.*dog")],
)
def test_unequal_classes_name_the_first_difference(
    second: Sequence[Category], difference: str
) -> None:
    with pytest.raises(UserError, match=f"the files have different classes .*{difference}"):
        check_same_categories([CAT, DOG], second, "the files")


def test_data_that_are_there_are_left_alone(shapes_set: Path) -> None:
    before = tree(shapes_set)
    ensure_data(config_of(shapes_set))
    assert tree(shapes_set) == before


def test_data_are_drawn_only_when_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    drawn: list[Path] = []
    monkeypatch.setattr("mnv2_dense.commands.session.generate", drawn.append)
    ensure_data(config_of(tmp_path / "no", "data.generate=null"))
    assert drawn == []
    ensure_data(config_of(tmp_path / "no"))
    assert drawn == [tmp_path / "no"]
    assert "drawing the built-in data set" in capsys.readouterr().out


def test_bad_boxes_are_said_once(
    shapes_set: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(shapes_set, tmp_path / "shapes")
    file = tmp_path / "shapes" / "annotations" / "instances_train2017.json"
    content = json.loads(file.read_text())
    single = [each for each in content["annotations"] if not each["iscrowd"]]
    single[0]["bbox"][2] = 0.0
    single[1]["bbox"][0] = -0.5
    file.write_text(json.dumps(content))
    index = read_data(config_of(tmp_path / "shapes"), "train")
    assert index.dropped.dropped == 1
    (line,) = capsys.readouterr().out.splitlines()
    assert "clipped 1 " in line
    assert (
        f"dropped 1 under 1 pixel on a side or not finite (annotation ids {single[0]['id']})"
        in (line)
    )


def test_a_checkpoint_opens_by_itself(trained_run: Path) -> None:
    config, categories, task = open_checkpoint(
        trained_run / "checkpoints" / "last.ckpt", ["decode.max_detections=7"]
    )
    assert config.decode.max_detections == 7
    assert config.backbone.width_mult == 0.35
    assert len(categories) == 10
    stored = checkpoint(trained_run)["state_dict"]
    assert all(stored[name].equal(tensor) for name, tensor in task.state_dict().items())


def test_weights_alone_can_be_loaded(trained_run: Path, shapes_set: Path, tmp_path: Path) -> None:
    last = trained_run / "checkpoints" / "last.ckpt"
    config, categories, trained = open_checkpoint(last)
    task = build_task(config, categories)
    load_weights(task, last)
    ours, theirs = task.state_dict(), trained.state_dict()
    assert all(ours[name].equal(theirs[name]) for name in theirs)


def test_another_optimiser_cannot_go_on(trained_run: Path, shapes_set: Path) -> None:
    last = trained_run / "checkpoints" / "last.ckpt"
    _, _, task = open_checkpoint(last)
    check_resumable(task, config_of(shapes_set), last)
    with pytest.raises(UserError, match=r"was trained with optimizer\.name=adamw"):
        check_resumable(task, config_of(shapes_set, "optimizer.name=sgd"), last)


@pytest.mark.parametrize(
    ("gpus", "overrides", "words"),
    [
        (0, ["training.accelerator=gpu"], "accelerator=gpu, but PyTorch finds none"),
        (0, ["training.accelerator=mps"], "accelerator=mps, but PyTorch finds none"),
        (1, ["training.accelerator=gpu", "training.devices=2"], "this machine has 1 GPUs"),
        (1, ["training.accelerator=auto", "training.devices=8"], "this machine has 1 GPUs"),
        (0, ["training.devices=2", "training.sync_batchnorm=true"], "between GPUs only"),
    ],
)
def test_hardware_that_is_not_there(
    monkeypatch: pytest.MonkeyPatch, gpus: int, overrides: Sequence[str], words: str
) -> None:
    pretend(monkeypatch, gpus)
    with pytest.raises(UserError, match=words):
        check_machine(config_of(Path("data"), *overrides))


@pytest.mark.parametrize(
    ("gpus", "overrides"),
    [
        (0, ["training.accelerator=auto"]),
        (0, ["training.devices=4"]),
        (0, ["training.sync_batchnorm=true"]),  # one process: nothing to synchronise
        (2, ["training.accelerator=gpu", "training.devices=2", "training.sync_batchnorm=true"]),
        (1, ["training.accelerator=cpu", "training.devices=4"]),
    ],
)
def test_hardware_that_is_there(
    monkeypatch: pytest.MonkeyPatch, gpus: int, overrides: Sequence[str]
) -> None:
    pretend(monkeypatch, gpus)
    check_machine(config_of(Path("data"), *overrides))


@pytest.mark.parametrize(
    ("images", "overrides"),
    [
        (12, ["data.batch_size=1"]),
        (1, []),
        (2, ["training.devices=2"]),
        (12, ["data.batch_size=1", "input.height=512", "input.width=512"]),
    ],
)
def test_a_batch_that_is_too_small_for_the_norms(images: int, overrides: Sequence[str]) -> None:
    with pytest.raises(UserError, match=r"one image per step .* two images or more"):
        check_batch(config_of(Path("data"), *overrides), images)


@pytest.mark.parametrize(
    ("images", "overrides"),
    [
        (2, []),
        (12, ["data.batch_size=1", "training.freeze_norm_epochs=1"]),
        (12, ["data.batch_size=1", "input.width=513"]),
        (12, ["data.batch_size=1", "backbone.output_stride=16", "input.height=257"]),
        (12, ["data.batch_size=1", "training.devices=2", "training.sync_batchnorm=true"]),
    ],
)
def test_a_batch_that_the_norms_can_take(images: int, overrides: Sequence[str]) -> None:
    check_batch(config_of(Path("data"), *overrides), images)


def pretend(monkeypatch: pytest.MonkeyPatch, gpus: int) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: gpus)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)


def test_only_the_first_process_speaks(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    say("one")
    monkeypatch.setattr("lightning.pytorch.utilities.rank_zero.rank_zero_only.rank", 1)
    say("two")
    assert capsys.readouterr().out == "one\n"
