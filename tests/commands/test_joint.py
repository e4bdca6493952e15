import json
import os
import signal
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mnv2_dense.segmentation.data import SegmentationDataset
from mnv2_dense.structures import SampleKey, SegmentationSample
from tests.commands.tiny import (
    TRAIN_IMAGES,
    VAL_IMAGES,
    checkpoint,
    logged,
    only_run,
    read_json,
    read_log,
    run_tool,
    same_weights,
)
from tests.joint.tiny import BATCHES, CONFIG, overrides, train_joint
from tests.pages.parsing import Page

TURNS = 4  # 12 pictures with label maps in batches of 3; those with boxes are 3 batches of 4.
STEPS = 2 * TURNS


@pytest.fixture(scope="module")
def joint_run(shapes_set: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("joint")
    train_joint(shapes_set, output).require_success()
    return only_run(output)


@pytest.fixture
def _restored_signals() -> Iterator[None]:
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


def test_a_run_logs_both_losses_and_all_scores(joint_run: Path) -> None:
    rows = read_log(joint_run)
    assert len(logged(rows, "train/detection_loss")) == STEPS
    assert len(logged(rows, "train/segmentation_loss")) == STEPS - 1
    assert "train/loss" not in rows[0]  # It would be now the one and now the other.
    for key in ("val/mAP", "val/mIoU", "val/score", "val/detection_loss", "val/segmentation_loss"):
        assert len(logged(rows, key)) == 1, key
    score = (float(logged(rows, "val/mAP")[0]) + float(logged(rows, "val/mIoU")[0])) / 2
    assert float(logged(rows, "val/score")[0]) == pytest.approx(score, abs=1e-6)


def test_steps_are_of_one_set_and_of_the_other(joint_run: Path) -> None:
    keys = ("train/detection_loss", "train/segmentation_loss")
    rows = [row for row in read_log(joint_run) if row["train/detection_loss"]]
    for number, (before, row) in enumerate(pairwise(rows), start=1):
        changed = [key for key in keys if row[key] != before[key]]
        assert changed == [keys[number % 2]]


def test_a_page_says_how_the_data_of_each_task_are_given(joint_run: Path, tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    keys = ("detection.data.root", "segmentation.data.root")
    gone = [f"{key}=nowhere" for key in keys]
    run_tool("report", joint_run, *gone, "--out", out).require_success()
    said = Page(out.read_text()).text
    assert all(f"({key}=FOLDER says where the data are now)" in said for key in keys)
    assert "(data.root" not in said


def test_the_final_numbers_are_those_of_the_best_checkpoint(
    joint_run: Path, tmp_path: Path
) -> None:
    best = joint_run / "checkpoints" / "best.ckpt"
    outcome = run_tool("evaluate", best, "--out", tmp_path, "--pictures", 7).require_success()
    assert " mean of mAP and mIoU = " in outcome.out
    metrics = read_json(tmp_path / "metrics.json")
    assert metrics == read_json(joint_run / "metrics.json")
    assert metrics["score"] == (metrics["detection"]["mAP"] + metrics["segmentation"]["mIoU"]) / 2
    files = {path.name for path in tmp_path.iterdir()}
    assert {"detections.json", "confusion_matrix.csv", "evaluation.yaml"} <= files
    pictures = {path.parent.name for path in (tmp_path / "pictures").rglob("*.png")}
    assert pictures == {"detection", "segmentation"}  # 6 of the one, and 1 of the other.


def test_a_checkpoint_has_the_classes_of_both(joint_run: Path) -> None:
    card = checkpoint(joint_run)["mnv2_dense"]
    assert card["config"]["task"] == "joint"
    assert len(card["categories"]) == 10 + 11


def interrupt_at_sample(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """Presses Ctrl-C while a sample with a label map is loaded."""
    load = SegmentationDataset.__getitem__
    seen: list[SampleKey] = []

    def loaded(self: SegmentationDataset, key: SampleKey) -> SegmentationSample:
        seen.append(key)
        if len(seen) == count:
            os.kill(os.getpid(), signal.SIGINT)
        return load(self, key)

    monkeypatch.setattr(SegmentationDataset, "__getitem__", loaded)


@pytest.mark.usefixtures("_restored_signals")
@pytest.mark.parametrize(
    ("sample", "step"),
    [
        # The second sample of the second epoch's second turn: within its pair of batches.
        (TRAIN_IMAGES + VAL_IMAGES + BATCHES["segmentation"] + 2, STEPS + 3),
        # In the evaluation of the first epoch, when the boxes have been measured.
        pytest.param(TRAIN_IMAGES + 2, STEPS, marks=pytest.mark.long),
    ],
)
def test_a_run_goes_on_in_the_middle_as_if_it_had_not_been_stopped(
    shapes_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sample: int, step: int
) -> None:
    more = ("training.epochs=2", "training.ema_decay=0.9")
    train_joint(shapes_set, tmp_path / "whole", *more).require_success()
    with monkeypatch.context() as patch:
        interrupt_at_sample(patch, sample)
        assert train_joint(shapes_set, tmp_path / "parts", *more).code == 130
    assert checkpoint(only_run(tmp_path / "parts"))["global_step"] == step
    train_joint(shapes_set, tmp_path / "parts", *more, "--resume").require_success()
    whole, parts = only_run(tmp_path / "whole"), only_run(tmp_path / "parts")
    assert same_weights(checkpoint(whole), checkpoint(parts))
    assert read_json(whole / "metrics.json")["score"] == read_json(parts / "metrics.json")["score"]
    scores = [logged(read_log(run), "val/score") for run in (whole, parts)]
    assert scores[0] == scores[1]


def test_a_run_of_other_data_is_not_gone_on_with(
    joint_run: Path, shapes_set: Path, tmp_path: Path
) -> None:
    last = joint_run / "checkpoints" / "last.ckpt"
    more = ("training.epochs=2", "segmentation.data.batch_size=2", "--resume", last)
    outcome = train_joint(shapes_set, tmp_path, *more)
    assert outcome.code == 2
    assert "6 images per step (was 7: " in outcome.err


def test_pictures_get_boxes_and_label_maps(
    joint_run: Path, shapes_set: Path, tmp_path: Path
) -> None:
    best = joint_run / "checkpoints" / "best.ckpt"
    pictures = sorted((shapes_set / "val2017").iterdir())[:2]
    more = ("--weights", best, "--out", tmp_path, "--score-threshold", 0.05)
    run_tool("predict", *pictures, *more).require_success()
    records = json.loads((tmp_path / "predictions.json").read_text())
    assert [record["image_id"] for record in records] == [int(path.stem) for path in pictures]
    for record, picture in zip(records, pictures, strict=True):
        label_map = np.array(Image.open(tmp_path / record["label_map"]))
        assert label_map.shape == (record["height"], record["width"])
        assert sum(record["shares"].values()) == pytest.approx(1)
        assert all(box["score"] >= 0.05 for box in record["detections"])
        assert (tmp_path / f"{picture.stem}.png").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--engine", "onnx"), "engine=onnx runs a detector or a segmenter alone"),
        (("--device", "nowhere"), "device=nowhere cannot be used here"),
        (("--top", "3"), "--top is for classifiers"),
        (("data.root=x",), "data is no known key"),
    ],
)
def test_what_a_joint_network_cannot_is_a_line(
    joint_run: Path, shapes_set: Path, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    best = joint_run / "checkpoints" / "best.ckpt"
    picture = next((shapes_set / "val2017").iterdir())
    outcome = run_tool("predict", picture, "--weights", best, "--out", tmp_path / "o", *arguments)
    assert outcome.code == 2
    assert message in outcome.err
    assert outcome.err.count("\n") == 1
    assert not (tmp_path / "o").exists()


def test_predicted_label_maps_are_those_that_are_measured(
    joint_run: Path, shapes_set: Path, tmp_path: Path
) -> None:
    best = joint_run / "checkpoints" / "best.ckpt"
    run_tool("predict", shapes_set / "val2017", "--weights", best, "--out", tmp_path)
    matrix = np.zeros((11, 11), np.int64)
    for path in (tmp_path / "label_maps").iterdir():
        truth = np.array(Image.open(shapes_set / "label_maps" / "val2017" / path.name))
        known = truth != 255
        np.add.at(matrix, (truth[known], np.array(Image.open(path))[known]), 1)
    measured = np.array(read_json(joint_run / "metrics.json")["segmentation"]["confusion_matrix"])
    # Folded norms round differently: a pixel in a thousand may lie on the border.
    assert np.abs(matrix - measured).sum() <= 0.002 * measured.sum()


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("export", ("--format", "torch_export")),
        ("verify_weights", ()),
        ("fit_anchors", ()),
        ("show_data", ()),
        ("check_data", ()),
        ("prepare_cache", ("--out", "cache", "--shorter-side", "32")),
        ("convert_data", ("--to", "coco", "--out", "converted")),
        ("demo", ()),
    ],
)
def test_other_commands_refuse_it_in_a_line(
    joint_run: Path,
    tool: str,
    arguments: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    best = joint_run / "checkpoints" / "best.ckpt"
    first = ("file.tflite", best, "picture.jpg") if tool == "verify_weights" else (best,)
    outcome = run_tool(tool, *first, *arguments)
    assert outcome.code == 2
    assert outcome.err.startswith("error: ")
    assert outcome.err.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.long
def test_a_dry_run_shows_a_step_of_each_set(shapes_set: Path, tmp_path: Path) -> None:
    outcome = train_joint(shapes_set, tmp_path, "--dry-run").require_success()
    steps = [line for line in outcome.out.splitlines() if line.startswith("training batch")]
    for count, line in zip(BATCHES.values(), steps, strict=True):
        assert f"images {count}x3" in line
    assert not list(tmp_path.iterdir())


@pytest.mark.long
def test_a_run_begins_with_a_joint_checkpoints_weights(
    joint_run: Path, shapes_set: Path, tmp_path: Path
) -> None:
    best = joint_run / "checkpoints" / "best.ckpt"
    outcome = train_joint(
        shapes_set, tmp_path, "--weights", best, "training.max_steps=2"
    ).require_success()
    assert " tensors loaded" in outcome.out


@pytest.mark.long
def test_a_run_begins_with_a_joint_checkpoints_backbone(
    joint_run: Path, shapes_set: Path, tmp_path: Path
) -> None:
    best = joint_run / "checkpoints" / "best.ckpt"
    outcome = train_joint(
        shapes_set, tmp_path, f"backbone.weights={best}", "training.max_steps=2"
    ).require_success()
    assert "tensors of the backbone loaded" in outcome.out


def test_a_config_is_printed_with_its_levels(shapes_set: Path, tmp_path: Path) -> None:
    outcome = run_tool("train", CONFIG, *overrides(shapes_set, tmp_path), "--print-config")
    assert "  data:\n" in outcome.require_success().out
