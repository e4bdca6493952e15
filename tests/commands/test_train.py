import csv
import importlib.util
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from PIL import Image

from mnv2_dense.config.loader import load_config
from mnv2_dense.detection.data import DetectionDataset
from mnv2_dense.shapes.label_maps import LABEL_NAMES
from mnv2_dense.structures import DetectionSample, SampleKey
from tests.commands.tiny import (
    CONFIG,
    ROOT,
    SEGMENTATION_CONFIG,
    STEPS,
    checkpoint,
    logged,
    only_run,
    read_json,
    read_log,
    run_tool,
    same_weights,
    segmentation_overrides,
    tiny_overrides,
    train,
    train_segmenter,
    tree,
)


@pytest.fixture
def _restored_signals() -> Iterator[None]:
    """An interrupted run leaves Ctrl-C ignored, since its process is about to end."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


def interrupt_at_sample(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """Presses Ctrl-C while training sample number `count` is loaded."""
    load = DetectionDataset.__getitem__
    seen: list[SampleKey] = []

    def loaded(self: DetectionDataset, key: SampleKey) -> DetectionSample:
        seen.append(key)
        if len(seen) == count:
            os.kill(os.getpid(), signal.SIGINT)
        return load(self, key)

    monkeypatch.setattr(DetectionDataset, "__getitem__", loaded)


def test_a_run_keeps_its_config_environment_and_logs(trained_run: Path, shapes_set: Path) -> None:
    overrides = [*tiny_overrides(shapes_set, trained_run.parents[1]), "training.report=true"]
    assert load_config(trained_run / "config.yaml") == load_config(CONFIG, overrides)
    environment = read_json(trained_run / "environment.json")
    assert environment["packages"]["torch"] == torch.__version__.partition("+")[0]
    rows = read_log(trained_run)
    assert len(logged(rows, "train/loss")) == STEPS
    assert len(logged(rows, "val/mAP")) == 1
    assert list((trained_run / "tensorboard").glob("events.out.tfevents.*"))
    assert {"metrics.json", "detections.json"} <= {path.name for path in trained_run.iterdir()}


@pytest.mark.parametrize("name", ["best", "last"])
def test_checkpoints_are_plain_data_and_say_what_they_are(trained_run: Path, name: str) -> None:
    content = checkpoint(trained_run, name)  # read with weights_only
    assert content["global_step"] == STEPS
    card = content["mnv2_dense"]
    assert card["config"]["backbone"]["width_mult"] == 0.35
    assert len(card["categories"]) == 10


@pytest.mark.parametrize("ema", [pytest.param("null", marks=pytest.mark.long), "0.9"])
def test_final_metrics_are_those_of_the_best_checkpoint(
    shapes_set: Path, tmp_path: Path, ema: str
) -> None:
    train(shapes_set, tmp_path / "runs", f"training.ema_decay={ema}").require_success()
    run = only_run(tmp_path / "runs")
    best = run / "checkpoints" / "best.ckpt"
    run_tool("evaluate", best, "--out", tmp_path / "again").require_success()
    assert read_json(run / "metrics.json") == read_json(tmp_path / "again" / "metrics.json")
    results = read_json(run / "detections.json")
    assert results
    assert results == read_json(tmp_path / "again" / "detections.json")


def test_ema_saves_and_measures_the_average(shapes_set: Path, tmp_path: Path) -> None:
    train(shapes_set, tmp_path, "training.ema_decay=0.9").require_success()
    content = checkpoint(only_run(tmp_path))
    average, trained = content["state_dict"], content["current_model_state"]
    names = [name for name in average if name.endswith("weight")]
    assert any(not torch.equal(average[name], trained[name]) for name in names)


def test_the_same_seed_gives_the_same_weights(
    trained_run: Path, shapes_set: Path, tmp_path: Path
) -> None:
    for seed in (0, 1):
        out = tmp_path / str(seed)
        train(shapes_set, out, f"training.seed={seed}").require_success()
        same = same_weights(checkpoint(trained_run), checkpoint(only_run(out)))
        assert same is (seed == 0)


@pytest.mark.parametrize("ema", ["null", "0.9"])
def test_resuming_equals_not_having_stopped(shapes_set: Path, tmp_path: Path, ema: str) -> None:
    options = ["schedule.name=constant", f"training.ema_decay={ema}"]
    train(shapes_set, tmp_path / "whole", *options, "training.epochs=2").require_success()
    train(shapes_set, tmp_path / "parts", *options).require_success()
    run = only_run(tmp_path / "parts")
    first_log = (run / "metrics.csv").read_text()
    # `--resume` may stand before an override: the override is not taken for its PATH.
    outcome = train(shapes_set, tmp_path / "parts", *options, "--resume", "training.epochs=2")
    outcome.require_success()
    assert f"resuming from {run / 'checkpoints' / 'last.ckpt'}" in outcome.out
    assert only_run(tmp_path / "parts") == run
    assert checkpoint(run)["global_step"] == 2 * STEPS
    assert same_weights(checkpoint(run), checkpoint(only_run(tmp_path / "whole")))
    assert (run / "metrics.csv").read_text().startswith(first_log)
    steps = [int(step) for step in logged(read_log(run), "step")]
    assert steps == sorted(steps)
    assert set(steps) == set(range(2 * STEPS))
    assert load_config(run / "config.yaml").training.epochs == 1
    assert load_config(run / "config-resumed-1.yaml").training.epochs == 2
    assert (run / "environment-resumed-1.json").is_file()


def test_resuming_from_a_path(trained_run: Path, shapes_set: Path, tmp_path: Path) -> None:
    """A checkpoint that was moved out of its run begins a new one, and keeps counting."""
    moved = tmp_path / "moved.ckpt"
    shutil.copy(trained_run / "checkpoints" / "last.ckpt", moved)
    before = tree(trained_run)
    train(shapes_set, tmp_path / "runs", "training.epochs=2", "--resume", moved).require_success()
    assert checkpoint(only_run(tmp_path / "runs"))["global_step"] == 2 * STEPS
    assert tree(trained_run) == before


def test_resuming_a_finished_run_only_measures_it(shapes_set: Path, tmp_path: Path) -> None:
    train(shapes_set, tmp_path).require_success()
    run = only_run(tmp_path)
    metrics, last = read_json(run / "metrics.json"), checkpoint(run)
    train(shapes_set, tmp_path, "--resume").require_success()
    assert read_json(run / "metrics.json") == metrics
    assert same_weights(checkpoint(run), last)


def test_resuming_a_finished_run_elsewhere_only_measures_it(
    trained_run: Path, shapes_set: Path, tmp_path: Path
) -> None:
    moved = tmp_path / "moved.ckpt"
    shutil.copy(trained_run / "checkpoints" / "last.ckpt", moved)
    outcome = train(shapes_set, tmp_path / "runs", "--resume", moved)
    outcome.require_success()
    metrics = read_json(only_run(tmp_path / "runs") / "metrics.json")
    assert metrics["mAP"] == read_json(trained_run / "metrics.json")["mAP"]


@pytest.mark.usefixtures("_restored_signals")
def test_ctrl_c_saves_and_resuming_equals_not_having_stopped(
    shapes_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ["training.epochs=2", "training.ema_decay=0.9"]
    train(shapes_set, tmp_path / "whole", *options).require_success()
    with monkeypatch.context() as patch:
        interrupt_at_sample(patch, 6)  # as the second batch is loaded
        outcome = train(shapes_set, tmp_path / "parts", *options)
    assert outcome.code == 130
    assert outcome.out.splitlines()[-1] == "interrupted at step 1; resume with --resume"
    run = only_run(tmp_path / "parts")
    assert checkpoint(run)["global_step"] == 1
    train(shapes_set, tmp_path / "parts", *options, "--resume").require_success()
    assert same_weights(checkpoint(run), checkpoint(only_run(tmp_path / "whole")))


def start_endless_run(data: Path, output: Path) -> subprocess.Popen[str]:
    """The real command with a loader process, past its first checkpoint."""
    command = [sys.executable, ROOT / "tools" / "train.py", CONFIG]
    command += [*tiny_overrides(data, output), "training.epochs=10000"]
    command += ["data.num_workers=1"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    wait_for(process, output, "*/*/checkpoints/last.ckpt")
    return process


def test_ctrl_c_on_the_real_command_line(shapes_set: Path, tmp_path: Path) -> None:
    process = start_endless_run(shapes_set, tmp_path)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the loaders too
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    step = checkpoint(only_run(tmp_path))["global_step"]
    assert out.splitlines()[-1] == f"interrupted at step {step}; resume with --resume"
    train(
        shapes_set, tmp_path, f"training.max_steps={step + 2}", "training.epochs=10000", "--resume"
    ).require_success()
    assert checkpoint(only_run(tmp_path))["global_step"] == step + 2


def wait_for(process: subprocess.Popen[str], folder: Path, pattern: str) -> None:
    """Until a file appears; the process must not end before."""
    while not list(folder.glob(pattern)):
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=0.2)


@pytest.mark.parametrize(
    ("options", "steps"),
    [
        (["training.validate_every=5", "training.epochs=2"], 2 * STEPS),
        (["training.max_steps=2"], 2),
        (["training.max_steps=4", "training.epochs=9", "training.validate_every=9"], 4),
    ],
    ids=["validate_every above epochs", "max_steps within an epoch", "both"],
)
def test_a_run_ends_with_one_evaluation(
    shapes_set: Path, tmp_path: Path, options: list[str], steps: int
) -> None:
    train(shapes_set, tmp_path, *options).require_success()
    run = only_run(tmp_path)
    assert checkpoint(run)["global_step"] == steps
    assert checkpoint(run, "best")["global_step"] == steps
    assert len(logged(read_log(run), "val/mAP")) == 1


def test_accumulated_batches_make_fewer_steps(shapes_set: Path, tmp_path: Path) -> None:
    train(shapes_set, tmp_path, "training.accumulate_batches=2").require_success()
    # Of three batches the third, half a step, is left out.
    assert checkpoint(only_run(tmp_path))["global_step"] == 1


def test_clipping_limits_the_step(shapes_set: Path, tmp_path: Path) -> None:
    options = ["optimizer.name=sgd", "optimizer.weight_decay=0", "training.max_steps=1"]
    options += ["optimizer.momentum=0", "optimizer.learning_rate=1", "schedule.name=constant"]
    train(shapes_set, tmp_path / "no", *options, "optimizer.learning_rate=1e-30").require_success()
    train(
        shapes_set, tmp_path / "yes", *options, "training.gradient_clip_norm=1e-3"
    ).require_success()
    start, end = (checkpoint(only_run(tmp_path / name))["state_dict"] for name in ("no", "yes"))
    trained = [key for key in start if key.endswith((".weight", ".bias"))]
    moved = torch.cat([(end[key] - start[key]).flatten() for key in trained])
    assert float(moved.norm()) == pytest.approx(1e-3, rel=0.05)


def test_early_stopping(shapes_set: Path, tmp_path: Path) -> None:
    options = ["training.epochs=9", "training.early_stopping_patience=2"]
    train(shapes_set, tmp_path, *options, "decode.score_threshold=1").require_success()
    assert checkpoint(only_run(tmp_path))["global_step"] == 3 * STEPS  # first, and two not better


def test_patience_counts_evaluations(shapes_set: Path, tmp_path: Path) -> None:
    options = ["training.epochs=9", "training.early_stopping_patience=1"]
    options += ["training.validate_every=2", "decode.score_threshold=1"]
    train(shapes_set, tmp_path, *options).require_success()
    assert checkpoint(only_run(tmp_path))["global_step"] == 4 * STEPS  # epochs 2 and 4


def test_frozen_norms_keep_their_statistics(shapes_set: Path, tmp_path: Path) -> None:
    train(shapes_set, tmp_path, "training.freeze_norm_epochs=1").require_success()
    state = checkpoint(only_run(tmp_path))["state_dict"]
    means = [state[key] for key in state if key.endswith("running_mean")]
    assert means
    assert all(not mean.any() for mean in means)  # as they were before the first step


@pytest.mark.parametrize(
    "options",
    [
        ["optimizer.name=sgd", "optimizer.nesterov=true", "schedule.name=constant"],
        ["optimizer.name=rmsprop", "optimizer.epsilon=1.0", "schedule.name=poly"],
        ["optimizer.name=adamw", "schedule.name=step"],
        ["schedule.name=cosine", "schedule.warmup_steps=2"],
        ["loss.classification=sigmoid", "loss.mining_nms_iou=0.99"],
        ["loss.classification=focal"],
        ["training.precision=bf16", "training.channels_last=false"],
        ["training.deterministic=true"],
        ["input.height=96", "input.width=64", "backbone.padding=same", "backbone.output_stride=16"],
    ],
    ids=" ".join,
)
def test_every_choice_trains(shapes_set: Path, tmp_path: Path, options: list[str]) -> None:
    train(shapes_set, tmp_path, *options, "training.max_steps=1").require_success()
    loss = float(logged(read_log(only_run(tmp_path)), "train/loss")[0])
    assert 0 < loss < 1000


def test_a_non_finite_loss_stops_the_run_at_its_step(shapes_set: Path, tmp_path: Path) -> None:
    outcome = train(
        shapes_set,
        tmp_path,
        "optimizer.learning_rate=1e30",
        "training.gradient_clip_norm=null",
        "schedule.name=constant",
    )
    assert outcome.code == 2
    assert outcome.err.startswith("error: the training loss is ")
    assert " at step 1, epoch 0, images " in outcome.err
    assert outcome.err.count("\n") == 1


def test_dry_run_says_all_and_writes_nothing(
    shapes_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(shapes_set, tmp_path / "shapes")
    before = tree(tmp_path)
    out = train(tmp_path / "shapes", tmp_path / "runs", "--dry-run").require_success().out
    assert tree(tmp_path) == before
    assert "training batch   images 4x3x64x64 torch.uint8" in out
    assert "validation batch   images 4x3x64x64 torch.uint8" in out
    for word in ("parameters", "multiply-adds", "memory", "GiB", " s\n", "12 images", "6 images"):
        assert word in out


def test_dry_run_draws_a_missing_set_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    out = train(tmp_path / "shapes", tmp_path / "runs", "--dry-run").require_success().out
    assert "loss " in out
    assert tree(tmp_path) == {}


def test_print_config_is_a_config_again(tmp_path: Path) -> None:
    options = ["optimizer.learning_rate=1e-3", "anchors.aspect_ratios=[1.0, 2.0]"]
    outcome = run_tool("train", CONFIG, *options, "--print-config").require_success()
    (tmp_path / "again.yaml").write_text(outcome.out)
    assert load_config(tmp_path / "again.yaml") == load_config(CONFIG, options)


def test_print_schema_is_json_and_needs_no_config() -> None:
    outcome = run_tool("train", "--print-schema").require_success()
    schema = json.loads(outcome.out)["$defs"]
    for config in ("DetectionConfig", "SegmentationConfig"):
        assert "training" in schema[config]["properties"]


def test_a_config_is_needed() -> None:
    outcome = run_tool("train")
    assert outcome.code == 2
    assert "a config is needed" in outcome.err


@pytest.mark.long
def test_two_processes_train(shapes_set: Path, tmp_path: Path) -> None:
    command = [sys.executable, ROOT / "tools" / "train.py", CONFIG]
    command += [*tiny_overrides(shapes_set, tmp_path), "training.devices=2", "training.epochs=2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("run folder") == 1
    run = only_run(tmp_path)
    assert checkpoint(run)["global_step"] == 2  # 6 images each: one batch of 4 an epoch
    assert read_json(run / "metrics.json")["images"] == 6
    assert [path.name for path in run.glob("config*")] == ["config.yaml"]
    with (run / "metrics.csv").open() as file:
        assert len([row for row in csv.DictReader(file) if row["val/mAP"]]) == 2


@pytest.mark.parametrize(
    "options",
    [
        ["input.height=520", "input.width=64", "data.batch_size=1"],
        ["data.batch_size=1", "training.freeze_norm_epochs=1"],
    ],
    ids=" ".join,
)
def test_one_image_per_step_where_the_norms_can_take_it(
    shapes_set: Path, tmp_path: Path, options: list[str]
) -> None:
    train(shapes_set, tmp_path, *options, "training.max_steps=1", "--dry-run").require_success()


@pytest.mark.filterwarnings("ignore:The checkpoint was not created with WeightAveraging")
@pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`")
@pytest.mark.parametrize("before", [pytest.param("null", marks=pytest.mark.long), "0.9"])
def test_the_average_can_be_switched_when_resuming(
    shapes_set: Path, tmp_path: Path, before: str
) -> None:
    after = "0.9" if before == "null" else "null"
    train(shapes_set, tmp_path, f"training.ema_decay={before}").require_success()
    train(
        shapes_set, tmp_path, f"training.ema_decay={after}", "training.epochs=2", "--resume"
    ).require_success()
    assert checkpoint(only_run(tmp_path))["global_step"] == 2 * STEPS


@pytest.mark.parametrize("moved", [False, True])
def test_a_resumed_run_keeps_a_better_best(shapes_set: Path, tmp_path: Path, moved: bool) -> None:
    train(shapes_set, tmp_path / "runs").require_success()
    output = (tmp_path / "runs").rename(tmp_path / "elsewhere") if moved else tmp_path / "runs"
    best = checkpoint(only_run(output), "best")
    # Without detections the second epoch scores 0.
    options = ["training.epochs=2", "decode.score_threshold=1"]
    train(shapes_set, output, *options, "--resume").require_success()
    assert checkpoint(only_run(output))["global_step"] == 2 * STEPS
    assert same_weights(checkpoint(only_run(output), "best"), best)


# Segmentation


def test_a_segmenters_run_keeps_all_of_it(segmentation_run: Path, shapes_set: Path) -> None:
    overrides = segmentation_overrides(shapes_set, segmentation_run.parents[1])
    expected = load_config(SEGMENTATION_CONFIG, [*overrides, "training.report=true"])
    assert load_config(segmentation_run / "config.yaml") == expected
    rows = read_log(segmentation_run)
    for key in ("train/loss", "train/cross_entropy"):
        assert len(logged(rows, key)) == STEPS
    for key in ("val/mIoU", "val/pixel_accuracy", "val/frequency_weighted_IoU", "val/loss"):
        assert len(logged(rows, key)) == 1
    metrics = read_json(segmentation_run / "metrics.json")
    assert float(logged(rows, "val/mIoU")[0]) == pytest.approx(metrics["mIoU"], abs=1e-5)
    files = {path.name for path in segmentation_run.iterdir()}
    assert {"metrics.json", "confusion_matrix.csv", "confusion_matrix.png"} <= files
    for name in ("best", "last"):
        card = checkpoint(segmentation_run, name)["mnv2_dense"]
        assert card["config"]["task"] == "segmentation"
        assert [category[1] for category in card["categories"]] == list(LABEL_NAMES)


def test_a_segmenters_average_is_measured_at_the_other_stride(
    shapes_set: Path, tmp_path: Path
) -> None:
    """The numbers of the run's end are those of the saved average, at stride 8."""
    options = ["training.ema_decay=0.5", "evaluation.output_stride=8"]
    train_segmenter(shapes_set, tmp_path / "runs", *options).require_success()
    run = only_run(tmp_path / "runs")
    content = checkpoint(run)
    average, trained = content["state_dict"], content["current_model_state"]
    assert any(not torch.equal(average[name], trained[name]) for name in average)
    best = run / "checkpoints" / "best.ckpt"
    run_tool("evaluate", best, "--out", tmp_path / "again").require_success()
    metrics = read_json(run / "metrics.json")
    assert metrics == read_json(tmp_path / "again" / "metrics.json")
    (during,) = logged(read_log(run), "val/mIoU")
    assert float(during) == pytest.approx(metrics["mIoU"], abs=1e-5)
    run_tool(
        "evaluate", best, "evaluation.output_stride=null", "--out", tmp_path / "16"
    ).require_success()
    assert read_json(tmp_path / "16" / "metrics.json") != metrics


def test_resuming_a_segmenter_equals_not_having_stopped(shapes_set: Path, tmp_path: Path) -> None:
    options = ["schedule.name=constant", "training.ema_decay=0.9", "head.auxiliary=true"]
    options += ["augmentation.photometric=0.5", "optimizer.head_rate_factor=10"]
    whole = ["training.epochs=2", "training.validate_every=2"]
    train_segmenter(shapes_set, tmp_path / "whole", *options, *whole).require_success()
    train_segmenter(shapes_set, tmp_path / "parts", *options).require_success()
    train_segmenter(shapes_set, tmp_path / "parts", *options, *whole, "--resume").require_success()
    parts, once = only_run(tmp_path / "parts"), only_run(tmp_path / "whole")
    assert checkpoint(parts)["global_step"] == 2 * STEPS
    assert same_weights(checkpoint(parts), checkpoint(once))
    assert read_json(parts / "metrics.json")["mIoU"] >= 0


@pytest.mark.parametrize(
    "options",
    [
        ["head.aspp=dense", "head.tap=last", "training.precision=bf16"],
        ["head.aspp=separable", "backbone.output_stride=8", "head.activation=relu6"],
        ["loss.hard_pixel_share=0.25", "head.auxiliary=true", "head.align_corners=false"],
        ["backbone.padding=same", "backbone.output_stride=32", "evaluation.output_stride=16"],
        ["input.height=97", "evaluation.large_pictures=shrink", "training.deterministic=true"],
    ],
    ids=" ".join,
)
def test_every_choice_of_a_segmenter_trains_and_is_measured(
    shapes_set: Path, tmp_path: Path, options: list[str]
) -> None:
    out = train_segmenter(shapes_set, tmp_path, *options, "--dry-run").require_success().out
    found = re.search(r"loss (\d+\.\d+)", out)
    assert found is not None
    assert 0 < float(found[1]) < 100
    assert "validation batch" in out


def test_dry_run_of_a_segmenter_writes_nothing(
    shapes_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Built-in pictures that are not there are drawn aside, label maps and all."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    options = ["data.generate=shapes", "--dry-run"]
    out = train_segmenter(tmp_path / "shapes", tmp_path / "runs", *options).require_success().out
    assert "training batch   images 4x3x65x65 torch.uint8" in out
    assert tree(tmp_path) == {}


def test_print_config_of_a_segmenter_is_a_config_again(tmp_path: Path) -> None:
    options = ["data.colors=null", "evaluation.scales=[0.5, 1.0]", "loss.hard_pixel_share=0.5"]
    outcome = run_tool("train", SEGMENTATION_CONFIG, *options, "--print-config").require_success()
    (tmp_path / "again.yaml").write_text(outcome.out)
    assert load_config(tmp_path / "again.yaml") == load_config(SEGMENTATION_CONFIG, options)


# Runs that begin with a checkpoint

STILL = ("optimizer.learning_rate=1e-30", "backbone.norm_momentum=1e-30")
"""A run whose weights stay where they began."""


def without_counters(content: dict[str, Any]) -> dict[str, torch.Tensor]:
    state = content["state_dict"]
    return {name: state[name] for name in state if not name.endswith("num_batches_tracked")}


def test_a_run_begins_with_the_weights_of_another(
    trained_run: Path, shapes_set: Path, tmp_path: Path
) -> None:
    last = trained_run / "checkpoints" / "last.ckpt"
    outcome = train(shapes_set, tmp_path, *STILL, "--weights", last).require_success()
    before, after = checkpoint(trained_run), checkpoint(only_run(tmp_path))
    assert f"{last}: {len(before['state_dict'])} tensors loaded\n" in outcome.out
    assert after["global_step"] == STEPS
    expected = without_counters(before)
    for name, tensor in without_counters(after).items():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-4, atol=1e-6)


def test_a_checkpoint_is_trained_on_with_its_own_config(trained_run: Path, tmp_path: Path) -> None:
    """Data, network and recipe are the run's; overrides change them, and the machine is here's."""
    content = torch.load(trained_run / "checkpoints" / "last.ckpt", weights_only=True)
    content["mnv2_dense"]["config"]["training"].update(accelerator="gpu", devices=8)
    path = tmp_path / "gpu.ckpt"
    torch.save(content, path)
    overrides = [f"training.output={tmp_path / 'runs'}", "training.accelerator=cpu", *STILL]
    outcome = run_tool("train", path, *overrides).require_success()
    assert f"{path}: {len(content['state_dict'])} tensors loaded\n" in outcome.out
    run = only_run(tmp_path / "runs")
    config, before = load_config(run / "config.yaml"), load_config(trained_run / "config.yaml")
    assert (config.data, config.head, config.name) == (before.data, before.head, before.name)
    assert (config.training.devices, config.optimizer.learning_rate) == ("auto", 1e-30)
    stem = "network.backbone.stem.0.weight"
    after = checkpoint(run)["state_dict"]
    torch.testing.assert_close(after[stem], content["state_dict"][stem], rtol=1e-4, atol=1e-6)
    run_tool("evaluate", run / "checkpoints" / "best.ckpt", "--out", tmp_path / "e")
    assert (tmp_path / "e" / "metrics.json").is_file()


def test_a_dry_run_of_a_checkpoint_writes_nothing(trained_run: Path, tmp_path: Path) -> None:
    last = trained_run / "checkpoints" / "last.ckpt"
    overrides = (f"training.output={tmp_path}", "training.accelerator=cpu")
    outcome = run_tool("train", last, *overrides, "--dry-run").require_success()
    assert "tensors loaded" in outcome.out
    assert not tree(tmp_path)


def test_other_classes_train_on_with_random_class_layers(
    trained_run: Path, shapes_set: Path, tmp_path: Path
) -> None:
    content = torch.load(trained_run / "checkpoints" / "last.ckpt", weights_only=True)
    content["mnv2_dense"]["categories"][0][1] = "dog"
    torch.save(content, tmp_path / "dog.ckpt")
    arguments = (*STILL, "--weights", tmp_path / "dog.ckpt")
    outcome = train(shapes_set, tmp_path / "runs", *arguments).require_success()
    assert "8 of the layers of class logits random, as the classes differ" in outcome.out
    expected = without_counters(content)
    changed = {
        name
        for name, tensor in without_counters(checkpoint(only_run(tmp_path / "runs"))).items()
        if not torch.allclose(tensor, expected[name], rtol=1e-4, atol=1e-6)
    }
    assert {name.rpartition(".")[0] for name in changed} == {
        f"network.head.class_branches.{level}.1" for level in range(4)
    }


def test_the_config_in_a_checkpoint_is_printed(trained_run: Path, tmp_path: Path) -> None:
    last = trained_run / "checkpoints" / "last.ckpt"
    outcome = run_tool("train", last, "training.epochs=7", "--print-config").require_success()
    (tmp_path / "config.yaml").write_text(outcome.out)
    printed = load_config(tmp_path / "config.yaml")
    assert (printed.training.epochs, printed.backbone.width_mult) == (7, 0.35)


def colored_set(shapes: Path, root: Path) -> Path:
    """The built-in set with masks of colours, and CVAT's table of them; void is white."""
    colors = np.random.default_rng(0).permutation(200)[: len(LABEL_NAMES), None] * [1, 0, 1]
    table = np.full((256, 3), 255, np.uint8)
    table[: len(colors)] = colors
    for split in ("train", "val"):
        shutil.copytree(shapes / f"{split}2017", root / "images" / split)
        (root / "masks" / split).mkdir(parents=True)
        for mask in (shapes / "label_maps" / f"{split}2017").iterdir():
            pixels = table[np.asarray(Image.open(mask))]
            Image.fromarray(pixels).save(root / "masks" / split / mask.name)
    rows = [f"{name}:{r},{g},{b}::" for name, (r, g, b) in zip(LABEL_NAMES, colors, strict=True)]
    (root / "labelmap.txt").write_text("\n".join([*rows, "void:255,255,255::"]))
    return root


def format_options(name: str) -> list[str]:
    """A format in place of the tiny segmenter's places of masks; classes come from the data."""
    keys = [f"{split}_{key}" for split in ("train", "val") for key in ("images", "masks", "list")]
    places = {
        "indices": {
            "format": "folders",
            **{f"{split}_images": f"{split}2017" for split in ("train", "val")},
            **{f"{split}_masks": f"label_maps/{split}2017" for split in ("train", "val")},
        },
        "colors": {
            "format": "folders",
            **{f"{split}_images": f"images/{split}" for split in ("train", "val")},
            **{f"{split}_masks": f"masks/{split}" for split in ("train", "val")},
        },
        "coco": {
            "format": "coco",
            **{f"{split}_images": f"{split}2017" for split in ("train", "val")},
            **{
                f"{split}_annotations": f"annotations/instances_{split}2017.json"
                for split in ("train", "val")
            },
        },
    }[name]
    given = dict.fromkeys(["classes", *keys], "null") | places
    return [f"data.{key}={value}" for key, value in given.items()]


@pytest.mark.parametrize("name", ["indices", "colors", "coco"])
def test_every_format_of_a_segmenter_runs_dry(name: str, shapes_set: Path, tmp_path: Path) -> None:
    root = colored_set(shapes_set, tmp_path / "set") if name == "colors" else shapes_set
    outcome = train_segmenter(root, tmp_path / "runs", *format_options(name), "--dry-run")
    assert "training batch" in outcome.require_success().out
    assert not (tmp_path / "runs").exists()


def test_a_segmenters_run_keeps_the_classes_of_its_data(shapes_set: Path, tmp_path: Path) -> None:
    root = colored_set(shapes_set, tmp_path / "set")
    options = [*format_options("colors"), "training.max_steps=1"]
    train_segmenter(root, tmp_path / "runs", *options).require_success()
    run = only_run(tmp_path / "runs")
    config = load_config(run / "config.yaml")
    assert config.data.classes == LABEL_NAMES
    (root / "labelmap.txt").unlink()
    found = run_tool("evaluate", run / "checkpoints" / "last.ckpt", "--out", tmp_path / "out")
    assert LABEL_NAMES[1] in found.require_success().out


WRONG_STATES: dict[str, dict[str, Any]] = {
    "schedule of another kind": {"lr_schedulers": [{}]},
    "a number for a schedule": {"lr_schedulers": [3]},
    "a number for the callbacks": {"callbacks": 3},
    "a callback without its state": {"callbacks": {"LogKeeper": {}, "NumericalWatch": {}}},
    "a loop without a place": {"loops": {"fit_loop": 3}},
    "no version": {"pytorch-lightning_version": "x"},
}


@pytest.mark.parametrize("fault", WRONG_STATES)
def test_what_is_no_state_of_a_run_is_refused_in_a_line(
    trained_run: Path, shapes_set: Path, tmp_path: Path, fault: str
) -> None:
    foreign = tmp_path / "foreign.ckpt"
    torch.save(checkpoint(trained_run) | WRONG_STATES[fault], foreign)
    outcome = train(shapes_set, tmp_path / "runs", "training.epochs=2", "--resume", foreign)
    assert outcome.code == 2
    assert outcome.err.startswith(f"error: {foreign}: ")
    assert len(outcome.err.splitlines()) == 1


def test_a_changed_learning_rate_is_used_by_a_resumed_run(shapes_set: Path, tmp_path: Path) -> None:
    options = ["schedule.name=constant", "optimizer.learning_rate=0.001"]
    train(shapes_set, tmp_path, *options).require_success()
    options = ["schedule.name=constant", "optimizer.learning_rate=0.002", "training.epochs=2"]
    train(shapes_set, tmp_path, *options, "--resume").require_success()
    rates = [float(rate) for rate in logged(read_log(only_run(tmp_path)), "lr-AdamW/pg1")]
    assert rates == [0.001] * STEPS + [0.002] * STEPS


def test_a_killed_loader_ends_the_run_in_a_line(shapes_set: Path, tmp_path: Path) -> None:
    process = start_endless_run(shapes_set, tmp_path)
    for child in psutil.Process(process.pid).children(recursive=True):
        child.kill()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2, err
    assert err.startswith("error: DataLoader worker (pid")
    assert err.endswith("--resume\n")
    assert len(err.splitlines()) == 1


# Runs that are killed; the long form, for both tasks, is docs/experiments/kills


def compared_bit_for_bit(one: Path, other: Path) -> dict[str, tuple[str, str]]:
    """What differs between two runs by the recorded experiment's own comparison."""
    path = ROOT / "docs" / "experiments" / "kills" / "compare.py"
    specification = importlib.util.spec_from_file_location("kills_compare", path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module.compare(one, other)


def killed_at(event: int, arguments: Sequence[str]) -> int:
    """Trains in a forked process that is killed at a flush or rename; its exit code."""
    pid = os.fork()
    if pid == 0:
        left = iter(range(event, -1, -1))

        def dying(call: Callable[..., Any]) -> Callable[..., Any]:
            def called(target: Any, *rest: Any) -> Any:
                if next(left) == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                return call(target, *rest)

            return called

        os.fsync, os.replace = dying(os.fsync), dying(os.replace)
        code = 1
        try:
            code = run_tool("train", CONFIG, *arguments).code
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_run_killed_again_and_again_ends_as_one_that_was_not(
    shapes_set: Path, tmp_path: Path
) -> None:
    options = [
        "training.epochs=2",
        "training.ema_decay=0.9",
        "training.deterministic=true",
        "training.save_every_minutes=0.00001",
    ]
    train(shapes_set, tmp_path / "whole", *options).require_success()
    arguments = [*tiny_overrides(shapes_set, tmp_path / "killed"), *options, "--resume", "auto"]
    events, kills = random.Random(7), 0
    while (code := killed_at(events.randrange(8, 30), arguments)) == -signal.SIGKILL:
        kills += 1
    assert code == 0
    assert kills >= 3
    (run,) = [path.parent for path in (tmp_path / "killed").glob("*/*/metrics.json")]
    assert not compared_bit_for_bit(only_run(tmp_path / "whole"), run)
