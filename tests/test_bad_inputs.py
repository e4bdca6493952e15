"""What a user may get wrong, and the line that answers it: exit code 2 and no traceback."""

# The bad inputs that this project promises to bear, and the tests that hold it to that. Training,
# evaluation and prediction are the real commands; files: here (i), test_bad_annotations.py (a),
# test_bad_masks.py (m), test_bad_pictures.py (p).
#
# EXIF-rotated JPEG           p: test_annotations_are_of_stored_pixels_and_predictions_upright,
#                             test_pictures_annotated_as_viewers_show_them
# Truncated JPEG              p: test_a_bad_picture_stops_an_evaluation,
#                             test_bad_pictures_stop_a_training_by_default,
#                             test_bad_pictures_are_skipped_in_training,
#                             test_a_bad_picture_does_not_stop_a_folder;
#                             a: test_corrupt_image_is_named; m: test_a_damaged_file_is_named
# CMYK, gray, RGBA, palette,  p: test_odd_modes_and_formats_are_converted,
# 1-bit, GIF, WebP            test_odd_modes_have_the_right_colours
# 16-bit PNG                  p: test_odd_modes_have_the_right_colours (gray and colours)
# VOC palette or RGB mask     m: test_palette_masks_are_read_as_indices,
#                             test_palette_masks_train_and_coloured_ones_only_with_their_colours,
#                             test_coloured_masks_are_measured_only_with_their_colours
# Mask of another size        m: test_masks_of_another_size_are_named_before_the_training,
#                             test_bad_masks_are_named_in_an_evaluation
# Mask value of no class      m: test_a_value_that_is_no_class_is_named,
#                             test_all_bad_masks_are_named_before_training,
#                             test_bad_masks_are_named_in_an_evaluation
# Zero-area, inverted,        a: test_bad_boxes_are_dropped_or_clipped_counted_and_listed,
# outside or NaN box          test_bad_boxes_are_measured_by_pycocotools_rule
# iscrowd                     a: test_crowds_are_left_out_of_the_training,
#                             test_crowds_follow_pycocotools_rule_in_evaluation
# No annotations, no images,  a: test_negatives_train_and_are_measured, test_annotations (no
# empty JSON                  annotations, no images), test_annotation_files_that_are_no_coco
# Ids with gaps, twice or 0,  a: test_category_ids_with_gaps_are_remapped, test_annotations,
# of what is missing          test_annotation_id_0_is_an_id_as_any
# Missing file                p: test_missing_pictures_are_all_named_at_the_beginning;
#                             m: test_missing_masks_are_named; a: test_missing_data_folder
# NaN or infinite loss        i: test_a_loss_that_is_no_number_stops_the_run
# Disk full, kill -9, SIGTERM i: test_a_full_disk_keeps_the_checkpoint_before,
# while saving                test_kill_9_while_saving_keeps_the_checkpoint_before,
#                             test_sigterm_while_saving_saves_and_ends,
#                             test_checkpoints_are_on_the_disk_before_they_replace_one
# Hostile checkpoint          i: test_hostile_checkpoint, test_checkpoints_with_wrong_content,
#                             test_a_changed_checkpoint; ops/test_checkpoint_*.py: each trick
# YAML bomb, duplicate key,   i: test_config_files, test_overrides, test_overrides_of_a_checkpoint
# tab, wrong type, unknown key
# Image bomb                  p: as the truncated JPEG, kind "bomb"
# 1x1 or 1x20000 image        p: test_extreme_shapes_give_results
# Batch of one                m: test_a_batch_of_one_trains, test_a_last_batch_of_one_does_no_harm
#
# Masks and boxes are no part of a prediction.

import copy
import errno
import math
import multiprocessing
import os
import pickle
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torchvision.models import MobileNet_V2_Weights

from mnv2_dense.detection.task import DetectionTask
from mnv2_dense.segmentation.task import SegmentationTask
from mnv2_dense.training.checkpoint_io import AtomicCheckpointIO
from tests.commands.classifiers import classifier_checkpoint
from tests.commands.tiny import (
    CONFIG,
    STEPS,
    Outcome,
    checkpoint,
    only_run,
    run_tool,
    tiny_overrides,
    train,
    train_segmenter,
    tree,
)
from tests.spoiling import (
    Workplace,
    assert_refused,
)


@pytest.fixture
def place(shapes_set: Path, trained_run: Path, tmp_path: Path) -> Workplace:
    shutil.copytree(shapes_set, tmp_path / "shapes")
    return Workplace(tmp_path, tmp_path / "shapes", trained_run)


@pytest.fixture
def _restored_signals() -> Iterator[None]:
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


# The config


YAML_BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n"
    for before, name in pairwise("abcdefghij")
)
"""Some hundred bytes that stand for 3 thousand million values."""


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("trainig.epochs=2", ["trainig", "did you mean training"]),
        ("training.epoch=2", ["training.epoch", "did you mean training.epochs?"]),
        ("training.epochs=many", ['training.epochs cannot be "many"', "whole number"]),
        ("training.epochs=1.5", ["training.epochs cannot be 1.5", "whole number"]),
        ("training.epochs=0", ["training.epochs cannot be 0", "at least 1"]),
        ("training.deterministic=1", ["training.deterministic cannot be 1", "true"]),
        ("optimizer.name=adam", ['optimizer.name cannot be "adam"', "sgd, rmsprop, adamw"]),
        ("input.mean=[1, 2]", ["input.mean cannot be [1, 2]"]),
        ("optimizer.betas=[0.9, 1.0]", ["optimizer.betas cannot be [0.9, 1.0]"]),
        ("training.seed=99999999999", ["training.seed cannot be 9999"]),
        ("training.seed=99999999999999999999", ["training.seed", "20 digits, more than 18"]),
        ("input.height=100000", ["input.height cannot be 100000", "4096"]),
        ("evaluation.flip=true", ["evaluation.flip is no known key", "backend"]),
        ("anchors.min_scale=0.99", ["min_scale must be below max_scale"]),
        ("training=5", ["training"]),
        ("just words", ["just words", "key.path=value"]),
        ("task=cooking", ["task cannot be 'cooking'", "detection, segmentation"]),
    ],
)
def test_overrides(place: Workplace, override: str, words: Sequence[str]) -> None:
    assert_refused(place.train(override), *words)
    assert not place.output.exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("traning:\n  epochs: 1\n", [":1: ", "did you mean training"]),
        ("training:\n  epoch: 1\n", [":2: ", "did you mean training.epochs?"]),
        ("training:\n\tepochs: 1\n", [":2: ", "tab"]),
        ("training:\n  epochs: 1\n  epochs: 2\n", [":3: ", "epochs"]),
        ("training: [1\n", ["config.yaml"]),
        ("a: &a [1]\nb: [*a, *a]\n", [":1: ", "anchors and aliases"]),
        ("data: !!python/object:os.system x\n", [":1: ", "tags"]),
        ("- 1\n", ["config.yaml", "not a config"]),
        ("training:\n  epochs: many\n", ["training.epochs cannot be", "whole number"]),
        (YAML_BOMB, [":1: ", "anchors and aliases"]),
    ],
)
def test_config_files(trained_run: Path, tmp_path: Path, text: str, words: Sequence[str]) -> None:
    path, weights = tmp_path / "config.yaml", trained_run / "checkpoints" / "last.ckpt"
    path.write_text(text)
    assert_refused(run_tool("train", path, "--print-config"), *words)
    assert_refused(run_tool("train", path), *words)
    assert_refused(run_tool("evaluate", path, "--weights", weights), *words)


@pytest.mark.parametrize("tool", ["evaluate", "predict"])
@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("training.epoch=2", ["did you mean training.epochs?"]),
        ("input.height=many", ['input.height cannot be "many"', "whole number"]),
        ("input.mean=&a [*a, *a]", ["input.mean cannot be", "a list of 3"]),
        ("input.mean={a: 1, a: 2}", ["input.mean", "a"]),
        ("input={height: 1,\theight: 2}", ["input"]),
    ],
)
def test_overrides_of_a_checkpoint(
    place: Workplace, tool: str, override: str, words: Sequence[str]
) -> None:
    weights, out = place.run / "checkpoints" / "last.ckpt", place.folder / "out"
    source = [weights] if tool == "evaluate" else [place.data / "val2017", "--weights", weights]
    assert_refused(run_tool(tool, *source, "--out", out, override), *words)
    assert not out.exists()


def test_every_mistake_is_named_at_once(place: Workplace) -> None:
    outcome = place.train("training.epoch=2", "input.height=0")
    assert_refused(outcome, "2 mistakes", "training.epochs?", "input.height cannot be 0", lines=3)


@pytest.mark.parametrize("tool", ["train", "evaluate", "summary"])
def test_missing_config(tool: str, tmp_path: Path) -> None:
    extra = ["--weights", "x.ckpt"] if tool == "evaluate" else []
    outcome = run_tool(tool, tmp_path / "no.yaml", *extra)
    assert_refused(outcome, f"{tmp_path / 'no.yaml'}: no such config file")


# Checkpoints


class Hostile:
    """Runs code where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("tool", ["train", "weights", "backbone", "evaluate", "predict"])
def test_hostile_checkpoint(place: Workplace, tool: str) -> None:
    mark, path = place.folder / "mark", place.folder / "hostile.ckpt"
    path.write_bytes(pickle.dumps({"state_dict": {}, "evil": Hostile(mark)}))
    torch.save({"state_dict": {}, "evil": Hostile(mark)}, place.folder / "zip.ckpt")
    for file in (path, place.folder / "zip.ckpt"):
        assert_refused(use_checkpoint(place, tool, file), file)
    assert not mark.exists()
    assert not place.output.exists()
    pickle.loads(path.read_bytes())
    assert mark.exists()  # what another program would have run


def use_checkpoint(place: Workplace, tool: str, path: Path) -> Outcome:
    """Resumes from, begins with, evaluates or predicts with a checkpoint."""
    if tool == "weights":
        return place.train("--weights", path)
    if tool == "backbone":
        return place.train(f"backbone.weights={path}")
    if tool == "train":
        return place.train("training.epochs=2", "--resume", path)
    if tool == "evaluate":
        return run_tool("evaluate", path, "--out", place.folder / "out")
    pictures = place.data / "val2017"
    return run_tool("predict", pictures, "--weights", path, "--out", place.folder / "out")


@pytest.mark.parametrize("tool", ["train", "evaluate", "predict"])
@pytest.mark.parametrize("damage", ["missing", "truncated", "text", "list"])
def test_no_checkpoint(place: Workplace, tool: str, damage: str) -> None:
    path = place.folder / "some.ckpt"
    if damage == "truncated":
        path.write_bytes((place.run / "checkpoints" / "last.ckpt").read_bytes()[:50_000])
    elif damage == "text":
        path.write_text("weights")
    elif damage == "list":
        place.save([1, 2], path.name)
    assert_refused(use_checkpoint(place, tool, path), path)
    assert not place.output.exists()


@pytest.mark.parametrize("tool", ["train", "weights", "evaluate", "predict"])
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"weight": math.nan}, "network.backbone.stem"),
        ({"global_step": "x"}, "global_step is of type str, not int"),
        ({"more": torch.ones(1).expand(10**9)}, "more elements than the file has"),
    ],
)
def test_checkpoints_with_wrong_content(
    place: Workplace, tool: str, change: dict[str, Any], words: str
) -> None:
    content = place.own_checkpoint() | change
    if "weight" in change:
        next(iter(content["state_dict"].values())).view(-1)[0] = content.pop("weight")
    path = place.save(content)
    assert_refused(use_checkpoint(place, tool, path), path, words)
    assert not place.output.exists()


@pytest.mark.parametrize("tool", ["weights", "backbone", "evaluate", "predict"])
def test_a_changed_checkpoint(place: Workplace, tool: str) -> None:
    data = bytearray((place.run / "checkpoints" / "last.ckpt").read_bytes())
    data[len(data) // 2] ^= 1
    path = place.folder / "some.ckpt"
    path.write_bytes(data)
    assert_refused(use_checkpoint(place, tool, path), path, "its checksum does not match")


def test_resuming_another_architecture(place: Workplace) -> None:
    options = "backbone.width_mult=0.5", "--resume", place.run / "checkpoints" / "last.ckpt"
    assert_refused(place.train(*options), "backbone.width_mult=0.5 (was 0.35)", "--accept-changes")
    assert_refused(
        place.train(*options, "--accept-changes"),
        "weights of another architecture",
        "network.backbone.",
        "in the file and",
        "in the network",
        " more",
    )


def test_a_refused_resume_leaves_the_run_as_it_is(place: Workplace) -> None:
    before = tree(place.run)
    test_resuming_another_architecture(place)
    assert tree(place.run) == before


def test_evaluating_another_architecture(place: Workplace) -> None:
    weights = place.run / "checkpoints" / "last.ckpt"
    overrides = [*tiny_overrides(place.data, place.output), "backbone.width_mult=0.5"]
    outcome = run_tool("evaluate", CONFIG, "--weights", weights, *overrides)
    assert_refused(outcome, "weights of another architecture", "in the file and")


def test_foreign_weights(place: Workplace) -> None:
    foreign = place.save({"conv.weight": torch.zeros(3)})
    assert_refused(use_checkpoint(place, "train", foreign), foreign)
    for tool in ("evaluate", "predict"):
        assert_refused(use_checkpoint(place, tool, foreign), "not a checkpoint of mnv2_dense")


@pytest.mark.parametrize("key", ["optimizer_states", "loops", "epoch"])
def test_resuming_from_weights_alone(place: Workplace, key: str) -> None:
    """Weights can be evaluated, but a run needs the optimiser's state too."""
    content = place.own_checkpoint()
    del content[key]
    path = place.save(content)
    assert_refused(use_checkpoint(place, "train", path), path, "--resume")


@pytest.mark.parametrize(
    "card",
    [
        {},
        {"config": {}},
        {"config": 3, "categories": []},
        {"config": {}, "categories": 3},
        {"config": {}, "categories": [[1]]},
        {"config": {"trainig": 1}, "categories": [[1, "a"]]},
    ],
    ids=str,
)
def test_checkpoint_with_a_spoilt_card(place: Workplace, card: dict[str, object]) -> None:
    path = place.save({**place.own_checkpoint(), "mnv2_dense": card})
    assert_refused(use_checkpoint(place, "evaluate", path), path)


def test_checkpoint_of_other_classes(place: Workplace) -> None:
    content = copy.deepcopy(place.own_checkpoint())
    content["mnv2_dense"]["categories"][0][1] = "dog"
    path = place.save(content)
    assert_refused(use_checkpoint(place, "evaluate", path), path, "different classes", "dog")
    assert_refused(use_checkpoint(place, "train", path), path, "different classes", "dog")


def test_weights_of_other_classes(place: Workplace) -> None:
    content = copy.deepcopy(place.own_checkpoint())
    content["mnv2_dense"]["categories"][0][1] = "dog"
    path = place.save(content)
    overrides = tiny_overrides(place.data, place.output)
    outcome = run_tool("evaluate", CONFIG, "--weights", path, *overrides)
    assert_refused(outcome, path, "different classes", "dog")


def test_fewer_epochs_than_were_done(place: Workplace) -> None:
    content = copy.deepcopy(place.own_checkpoint())
    content["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"] = 5
    path = place.save(content)
    before = tree(place.folder)
    assert_refused(place.train("training.epochs=2", "--resume", path), "is of epoch 5", "epochs=2")
    assert tree(place.folder) == before


def test_fewer_validation_images_than_processes(place: Workplace) -> None:
    outcome = place.train("training.devices=7", "data.batch_size=2")
    assert_refused(outcome, "6 validation images cannot be shared by 7 processes")


def test_half_precision_on_a_cpu(place: Workplace) -> None:
    assert_refused(place.train("training.precision=16"), "training.precision=16 needs a GPU")


def test_predicting_into_a_folder_with_a_file_of_the_same_name(place: Workplace) -> None:
    weights = place.run / "checkpoints" / "best.ckpt"
    pictures = place.data / "val2017"
    (pictures / "detections.json").write_text("mine")
    outcome = run_tool("predict", pictures, "--weights", weights, "--out", pictures)
    assert_refused(outcome, "detections.json is there", "choose another folder")
    assert (pictures / "detections.json").read_text() == "mine"


def test_results_that_cannot_be_written(place: Workplace, tmp_path: Path) -> None:
    weights = place.run / "checkpoints" / "best.ckpt"
    (tmp_path / "out" / "detections.json").mkdir(parents=True)
    arguments = (place.data / "val2017", "--weights", weights, "--out", tmp_path / "out")
    assert_refused(run_tool("predict", *arguments), "detections.json")
    (tmp_path / "scores" / "metrics.json").mkdir(parents=True)
    outcome = run_tool("evaluate", weights, "--out", tmp_path / "scores", f"data.root={place.data}")
    assert_refused(outcome, "metrics.json: Is a directory")


def test_resume_without_a_run(place: Workplace) -> None:
    outcome = place.train("--resume")
    assert_refused(outcome, "--resume: no ", "last.ckpt", "leave --resume out")


def test_config_to_evaluate_without_weights() -> None:
    assert_refused(run_tool("evaluate", CONFIG), "is a config", "--weights PATH")


def test_checkpoint_to_evaluate_with_weights(place: Workplace) -> None:
    last = place.run / "checkpoints" / "last.ckpt"
    outcome = run_tool("evaluate", last, "--weights", last)
    assert_refused(outcome, "--weights", "has its own weights")


# A run that breaks off


@pytest.mark.parametrize("value", [math.nan, pytest.param(math.inf, marks=pytest.mark.long)])
@pytest.mark.parametrize("start", [train, train_segmenter], ids=["detection", "segmentation"])
def test_a_loss_that_is_no_number_stops_the_run(
    shapes_set: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    start: Callable[..., Outcome],
    value: float,
) -> None:
    """In the second epoch: the checkpoint of the first one is kept, and a run goes on from it."""
    options = ["training.epochs=2", "data.num_workers=0"]
    with monkeypatch.context() as patch:
        spoil_loss(patch, STEPS + 1, value)
        outcome = start(shapes_set, tmp_path, *options)
    where = f"the training loss is {value} at step {STEPS + 1}, epoch 1, images "
    assert_refused(outcome, where, "the checkpoints saved before it are intact")
    last = checkpoint(only_run(tmp_path))
    assert last["global_step"] == STEPS
    assert all(bool(torch.isfinite(each).all()) for each in last["state_dict"].values())
    start(shapes_set, tmp_path, *options, "--resume").require_success()
    assert checkpoint(only_run(tmp_path))["global_step"] == 2 * STEPS


def spoil_loss(patch: pytest.MonkeyPatch, step: int, value: float) -> None:
    """Multiplies the first term of a loss, and so its total, from some step on."""
    for task in (DetectionTask, SegmentationTask):
        losses = task.losses

        def spoilt(self: Any, batch: Any, losses: Any = losses) -> Any:
            terms = losses(self, batch)
            if self.global_step < step:
                return terms
            return terms._replace(**{terms._fields[0]: terms[0] * value})

        patch.setattr(task, "losses", spoilt)


def is_checkpoint(descriptor: int) -> bool:
    """Whether an open file is a checkpoint that is being written."""
    return ".ckpt" in Path(f"/proc/self/fd/{descriptor}").readlink().name


def test_a_full_disk_keeps_the_checkpoint_before(
    place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync = os.fsync

    def full(descriptor: int) -> None:
        if is_checkpoint(descriptor) and list(place.output.glob("*/*/checkpoints/last.ckpt")):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        outcome = place.train("training.epochs=2")
    run = only_run(place.output)
    assert_refused(outcome, f"{run / 'checkpoints'}/", ".ckpt: No space left on device")
    assert checkpoint(run)["global_step"] == STEPS
    assert {path.name for path in (run / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}
    place.train("training.epochs=2", "--resume").require_success()
    assert checkpoint(run)["global_step"] == 2 * STEPS


def test_checkpoints_are_on_the_disk_before_they_replace_one(
    place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """File, rename, folder: in this order at every checkpoint, all within one folder."""
    done: list[str] = []
    sync, replace = os.fsync, Path.replace

    def note_sync(descriptor: int) -> None:
        if is_checkpoint(descriptor):
            done.append("file")
        elif Path(f"/proc/self/fd/{descriptor}").readlink().name == "checkpoints":
            done.append("folder")
        sync(descriptor)

    def note_replace(self: Path, target: Path) -> Path:
        if target.suffix == ".ckpt":
            assert self.parent == target.parent
            done.append("rename")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", note_sync)
    monkeypatch.setattr(Path, "replace", note_replace)
    place.train().require_success()
    assert done == ["file", "rename", "folder"] * 2  # best and last


@pytest.mark.usefixtures("_restored_signals")
def test_sigterm_while_saving_saves_and_ends(
    place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync, sent = os.fsync, [signal.SIGTERM]

    def terminated(descriptor: int) -> None:
        if sent and is_checkpoint(descriptor):
            signal.raise_signal(sent.pop())
        sync(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", terminated)
        outcome = place.train("training.epochs=2")
    assert outcome.code == 128 + signal.SIGTERM
    assert outcome.out.splitlines()[-1] == f"terminated at step {STEPS}; resume with --resume"
    run = only_run(place.output)
    assert checkpoint(run)["global_step"] == STEPS
    place.train("training.epochs=2", "--resume").require_success()
    assert checkpoint(run)["global_step"] == 2 * STEPS


def test_kill_9_while_saving_keeps_the_checkpoint_before(place: Workplace) -> None:
    shutil.copytree(place.run, place.output / "ssdlite_shapes" / "run")
    last = place.output / "ssdlite_shapes" / "run" / "checkpoints" / "last.ckpt"
    before = last.read_bytes()
    process = multiprocessing.get_context("fork").Process(target=save_until_killed, args=[last])
    process.start()
    process.join(timeout=60)
    assert process.exitcode == -signal.SIGKILL
    assert last.read_bytes() == before
    assert last.with_name(".last.ckpt.part").exists()
    place.train("training.epochs=2", "--resume").require_success()
    assert checkpoint(last.parents[1])["global_step"] == 2 * STEPS
    assert not last.with_name(".last.ckpt.part").exists()


def save_until_killed(path: Path) -> None:
    """Saves, and dies when all is written and nothing is known to be on the disk."""

    def kill(_descriptor: int) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", kill)
        AtomicCheckpointIO().save_checkpoint({"state_dict": {}}, path)


# Backbone weights


def test_imagenet_weights_that_cannot_be_downloaded(
    place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(MobileNet_V2_Weights, "get_state_dict", refuse)
    outcome = place.train("backbone.weights=imagenet")
    assert_refused(outcome, "backbone.weights=imagenet", "no route to host", "https://")
    assert not place.output.exists()


def test_backbone_weights_that_are_missing(place: Workplace) -> None:
    assert_refused(place.train("backbone.weights=no.pt"), "no.pt: no such checkpoint file")
    for name in ("no.tflite", "no.pb"):
        assert_refused(place.train(f"backbone.weights={name}"), f"{name}: no such file")
    assert not place.output.exists()


@pytest.mark.parametrize("name", ["w.pt", "w.tflite", "w.pb", "w.tar.gz"])
def test_backbone_weights_that_are_damaged(place: Workplace, name: str) -> None:
    (place.folder / name).write_bytes(b"\x0a\xff no weights")
    path = place.folder / name
    assert_refused(place.train(f"backbone.weights={path}"), path)
    assert not place.output.exists()


def test_backbone_weights_of_another_input(place: Workplace) -> None:
    path = place.run / "checkpoints" / "last.ckpt"
    for change, words in (
        ("backbone.padding=same", "backbone.padding=symmetric (not same)"),
        ("input.mean=[0, 0, 0]", "was trained with input.mean="),
        ("backbone.width_mult=0.5", "they fit backbone.width_mult=0.35"),
    ):
        assert_refused(place.train(f"backbone.weights={path}", change), path, words)
    assert not place.output.exists()


# A run that begins with a checkpoint


def test_weights_to_begin_with_and_a_run_to_go_on_with(place: Workplace) -> None:
    last = place.run / "checkpoints" / "last.ckpt"
    words = "--weights begins a run and --resume goes on with one; give one of them"
    assert_refused(place.train("--weights", last, "--resume", last), words)
    assert_refused(place.train("--weights", last, "--resume"), words)


def test_a_checkpoint_in_a_configs_place_has_its_own_weights(place: Workplace) -> None:
    last = place.run / "checkpoints" / "last.ckpt"
    for option in (("--weights", last), ("--resume", last), ("--resume",)):
        outcome = run_tool("train", last, *option)
        assert_refused(outcome, last, "has its own weights; give a config with --weights")


@pytest.mark.parametrize("weights", ["missing", "text", "bare", "classifier", "task"])
def test_weights_that_no_run_begins_with(
    place: Workplace, segmentation_run: Path, weights: str
) -> None:
    path = place.folder / "other.ckpt"
    if weights == "text":
        path.write_text("weights")
    elif weights == "bare":
        place.save(place.own_checkpoint()["state_dict"])
    elif weights == "classifier":
        place.save(classifier_checkpoint())
    elif weights == "task":
        shutil.copy(segmentation_run / "checkpoints" / "last.ckpt", path)
    assert_refused(place.train("--weights", path), path)
    assert not place.output.exists()
    if weights != "task":
        assert_refused(run_tool("train", path), path)


def test_weights_of_another_network_to_begin_with(place: Workplace) -> None:
    last = place.run / "checkpoints" / "last.ckpt"
    for change, words in (
        ("backbone.width_mult=0.5", "weights of another architecture"),
        ("backbone.padding=same", "backbone.padding=symmetric (not same)"),
    ):
        assert_refused(place.train("--weights", last, change), last, words)
    assert_refused(run_tool("train", last, "head.width_mult=0.5"), "another architecture")
    assert not place.output.exists()


# The machine


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_no_gpu(place: Workplace) -> None:
    outcome = place.train("training.accelerator=gpu")
    assert_refused(outcome, "training.accelerator=gpu", "training.accelerator=auto")
    outcome = run_tool(
        "evaluate",
        place.run / "checkpoints" / "best.ckpt",
        "training.accelerator=gpu",
        "--out",
        place.folder,
    )
    assert_refused(outcome, "training.accelerator=gpu")


def test_output_that_cannot_be_written(place: Workplace) -> None:
    place.output.write_text("a file")
    assert_refused(place.train(), place.output, "training.output")


@pytest.mark.parametrize("tool", ["evaluate", "predict"])
@pytest.mark.parametrize("out", ["file", "file/below"])
def test_out_that_is_a_file(place: Workplace, tool: str, out: str) -> None:
    (place.folder / "file").write_text("mine")
    weights = place.run / "checkpoints" / "best.ckpt"
    arguments = [place.data / "val2017", "--weights", weights] if tool == "predict" else [weights]
    outcome = run_tool(tool, *arguments, "--out", place.folder / out)
    assert_refused(outcome, f"--out {place.folder / out}", "is no folder that can be written to")
    assert (place.folder / "file").read_text() == "mine"


def test_data_set_to_draw_where_a_file_is(place: Workplace) -> None:
    (place.folder / "file").write_text("a file")
    outcome = place.train(f"data.root={place.folder / 'file' / 'shapes'}")
    assert_refused(outcome, place.folder / "file")


def test_drawing_over_a_folder(place: Workplace) -> None:
    assert_refused(run_tool("make_shapes", place.data), place.data, "exists already")
