from pathlib import Path

import pytest
import torch

from mnv2_dense.builders import build_task
from mnv2_dense.builders.opening import check_kind, load_weights, open_checkpoint, stored_config
from mnv2_dense.config.schema import DetectionConfig, SegmentationConfig
from mnv2_dense.errors import UserError
from mnv2_dense.segmentation.task import SegmentationTask
from mnv2_dense.shapes.label_maps import LABEL_NAMES
from tests.commands.tiny import CONFIG, NETWORK, checkpoint, run_tool


def test_a_checkpoint_opens_by_itself(trained_run: Path) -> None:
    config, categories, task = open_checkpoint(
        trained_run / "checkpoints" / "last.ckpt", ["decode.max_detections=7"]
    )
    assert isinstance(config, DetectionConfig)
    assert config.decode.max_detections == 7
    assert config.backbone.width_mult == 0.35
    assert len(categories) == 10
    stored = checkpoint(trained_run)["state_dict"]
    assert all(stored[name].equal(tensor) for name, tensor in task.state_dict().items())


def test_a_segmenter_opens_by_itself(segmentation_run: Path) -> None:
    config, categories, task = open_checkpoint(
        segmentation_run / "checkpoints" / "last.ckpt", ["evaluation.output_stride=8"]
    )
    assert isinstance(config, SegmentationConfig)
    assert isinstance(task, SegmentationTask)
    assert task.other_stride is not None
    assert [category.name for category in categories] == list(LABEL_NAMES)
    stored = checkpoint(segmentation_run)["state_dict"]
    assert all(stored[name].equal(tensor) for name, tensor in task.state_dict().items())


def test_weights_alone_can_be_loaded(trained_run: Path, shapes_set: Path, tmp_path: Path) -> None:
    last = trained_run / "checkpoints" / "last.ckpt"
    config, categories, trained = open_checkpoint(last)
    task = build_task(config, categories)
    load_weights(task, last)
    ours, theirs = task.state_dict(), trained.state_dict()
    assert all(ours[name].equal(theirs[name]) for name in theirs)


def test_the_training_machine_is_forgotten(trained_run: Path, tmp_path: Path) -> None:
    content = torch.load(trained_run / "checkpoints" / "last.ckpt", weights_only=True)
    content["mnv2_dense"]["config"]["training"].update(
        accelerator="gpu", devices=8, precision="16", sync_batchnorm=True, compile=True
    )
    torch.save(content, tmp_path / "gpu.ckpt")
    config, _, task = open_checkpoint(tmp_path / "gpu.ckpt", ["training.devices=2"])
    training = config.training
    assert (training.accelerator, training.precision, training.devices) == ("auto", "32", 2)
    assert not training.sync_batchnorm
    assert task.network._compiled_call_impl is None


def test_a_checkpoint_of_the_other_task_is_refused(
    trained_run: Path, segmentation_run: Path
) -> None:
    detector = trained_run / "checkpoints" / "last.ckpt"
    _, _, task = open_checkpoint(segmentation_run / "checkpoints" / "last.ckpt")
    with pytest.raises(UserError, match="of task detection, but the config is of task segmenta"):
        load_weights(task, detector)


@pytest.mark.parametrize("override", ["data.classes=[a, b]", "data.num_classes=3"])
def test_other_classes_than_the_checkpoints_are_refused(
    segmentation_run: Path, override: str
) -> None:
    overrides = [override] if "classes=[" in override else ["data.classes=null", override]
    with pytest.raises(UserError, match="classes"):
        open_checkpoint(segmentation_run / "checkpoints" / "last.ckpt", overrides)


@pytest.mark.parametrize(
    "change", ["shortcut=none", "linear_bottleneck=false", "first_shortcut=false"]
)
def test_another_variant_of_the_network_is_refused_though_its_weights_fit(
    trained_run: Path, shapes_set: Path, change: str
) -> None:
    last = trained_run / "checkpoints" / "last.ckpt"
    with pytest.raises(UserError, match=f"was trained with backbone.{change.partition('=')[0]}"):
        open_checkpoint(last, [f"backbone.{change}"])
    overrides = ["backbone.shortcut=none", f"data.root={shapes_set}"]
    arguments = ("train", CONFIG, *NETWORK, *overrides, "--resume", last)
    outcome = run_tool(*arguments, f"training.output={trained_run.parents[1]}")
    assert outcome.code == 2
    assert "was trained with backbone.shortcut=bottleneck" in outcome.err


def test_a_stored_config_is_for_this_machine(trained_run: Path, tmp_path: Path) -> None:
    content = torch.load(trained_run / "checkpoints" / "last.ckpt", weights_only=True)
    content["mnv2_dense"]["config"]["training"].update(accelerator="gpu", devices=8, seed=3)
    torch.save(content, tmp_path / "gpu.ckpt")
    config = stored_config(tmp_path / "gpu.ckpt", ["training.epochs=9"])
    training = config.training
    assert (training.accelerator, training.devices, training.epochs) == ("auto", "auto", 9)
    assert (training.seed, config.backbone.width_mult) == (3, 0.35)
    with pytest.raises(UserError, match=r"did you mean training\.epochs"):
        stored_config(tmp_path / "gpu.ckpt", ["training.epoch=9"])
    torch.save({"state_dict": content["state_dict"]}, tmp_path / "bare.ckpt")
    with pytest.raises(UserError, match="no config inside"):
        stored_config(tmp_path / "bare.ckpt")


def test_the_kind_of_task_is_checked(segmentation_run: Path, shapes_set: Path) -> None:
    _, _, task = open_checkpoint(segmentation_run / "checkpoints" / "last.ckpt")
    path = Path("a.ckpt")
    check_kind(task, {"task": "segmentation"}, path)
    others: list[tuple[object, str]] = [({"task": "detection"}, "detection"), (3, "None")]
    for stored, given in others:
        with pytest.raises(UserError, match=f"^a.ckpt: a checkpoint of task {given}, but the"):
            check_kind(task, stored, path)
