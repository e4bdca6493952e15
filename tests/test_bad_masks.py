"""Masks and lists of pictures that are wrong, odd or missing."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mnv2_dense.drawing import class_palette
from mnv2_dense.shapes.label_maps import LABEL_NAMES
from tests.commands.tiny import (
    SEGMENTATION_CONFIG,
    SIZE,
    logged,
    only_run,
    read_log,
    run_tool,
    segmentation_overrides,
    train_segmenter,
)
from tests.spoiling import Masks, assert_refused, convert, scores_of


@pytest.fixture
def masks(shapes_set: Path, segmentation_run: Path, tmp_path: Path) -> Masks:
    shutil.copytree(shapes_set, tmp_path / "shapes")
    return Masks(tmp_path, tmp_path / "shapes", segmentation_run)


def test_palette_masks_train_and_coloured_ones_only_with_their_colours(masks: Masks) -> None:
    masks.train().require_success()
    for path in (*masks.paths("train"), *masks.paths("val")):
        convert(path, "RGB")
    assert_refused(masks.train(), "label_maps/", "holds colours, not class indices", "data.colors")
    colors = [list(color) for color in class_palette()]
    given = [f"data.colors={colors[: len(LABEL_NAMES)]}", f"data.ignore_color={colors[255]}"]
    masks.train(*given).require_success()
    less = [f"data.colors={[*colors[1 : len(LABEL_NAMES)], [9, 9, 9]]}"]
    assert_refused(masks.train(*less), "mask colours that no class has: (0, 0, 0) at")


def test_palette_masks_are_read_as_indices(masks: Masks) -> None:
    """The same numbers as of masks without a palette, in training and evaluation."""
    masks.evaluate().require_success()
    measured = scores_of(masks.folder / "evaluation")
    for path in (*masks.paths("train"), *masks.paths("val")):
        with Image.open(path) as image:
            assert image.mode == "P"
            indices = np.array(image)
        Image.fromarray(indices).save(path)
    masks.evaluate().require_success()
    assert scores_of(masks.folder / "evaluation") == measured
    train_segmenter(masks.data, masks.folder / "runs").require_success()
    logs = [read_log(run) for run in (only_run(masks.folder / "runs"), masks.run)]
    assert logged(logs[0], "train/loss") == logged(logs[1], "train/loss")


def test_coloured_masks_are_measured_only_with_their_colours(masks: Masks) -> None:
    masks.evaluate().require_success()
    measured = scores_of(masks.folder / "evaluation")
    for path in masks.paths("val"):
        convert(path, "RGB")
    assert_refused(masks.evaluate(), masks.paths("val")[0], "holds colours, not class indices")
    colors = [list(color) for color in class_palette()]
    given = [f"data.colors={colors[: len(LABEL_NAMES)]}", f"data.ignore_color={colors[255]}"]
    masks.evaluate(*given).require_success()
    assert scores_of(masks.folder / "evaluation") == measured


def test_bad_masks_are_named_in_an_evaluation(masks: Masks) -> None:
    first, second = masks.paths("val")[:2]
    Image.new("L", (SIZE, SIZE), 77).save(second)
    words = "neither a class (0 to 10) nor void (255): 77"
    assert_refused(masks.evaluate(), second, words)
    Image.new("L", (SIZE, SIZE - 1)).save(first)
    assert_refused(masks.evaluate(), first.name, "64 x 63 pixels, its picture 64 x 64")
    first.unlink()
    second.unlink()
    assert_refused(masks.evaluate(), "masks of pictures", first.name, second.name)


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("split", ["train", "val"])
def test_a_value_that_is_no_class_is_named(masks: Masks, split: str, workers: int) -> None:
    for path in masks.paths(split):
        labels = np.array(Image.open(path))
        labels[0, 0] = 77
        Image.fromarray(labels).save(path)
    outcome = masks.train(f"data.num_workers={workers}")
    assert_refused(
        outcome, f"label_maps/{split}2017/", "neither a class (0 to 10) nor void (255): 77"
    )
    if split == "train":  # the same value as void is none
        masks.train("data.ignore_index=77").require_success()


def test_masks_of_another_size_are_named_before_the_training(masks: Masks) -> None:
    sizes = [(64, 63), (32, 64)]
    for path, size in zip(masks.paths(), sizes, strict=False):
        Image.new("L", size).save(path)
    outcome = masks.train()
    names = [path.name for path in masks.paths()]
    assert_refused(outcome, *names[:2], "64 x 63 pixels, its picture 64 x 64")
    assert names[2] not in outcome.err


def test_missing_masks_are_named(masks: Masks) -> None:
    for path in masks.paths()[:7]:
        path.unlink()
    outcome = masks.train()
    assert_refused(outcome, "label_maps/train2017: masks of pictures", "000000000001.png", "2 more")


def test_masks_of_0_and_255_are_refused_or_read_by_colours(masks: Masks) -> None:
    for path in (*masks.paths("train"), *masks.paths("val")):
        with Image.open(path) as image:
            binary = np.where(np.asarray(image) > 0, 255, 0).astype(np.uint8)
        Image.fromarray(binary).save(path)
    two = "data.classes=[background, object]"
    assert_refused(masks.train(two), "fewer than two of the 2 classes (missing: object)")
    masks.train(two, "data.colors=[[0,0,0],[255,255,255]]").require_success()


def test_all_bad_masks_are_named_before_training(masks: Masks) -> None:
    bad = [masks.paths("train")[0], masks.paths("train")[2]]
    for path in bad:
        Image.fromarray(np.full((SIZE, SIZE), 77, np.uint8)).save(path)
    assert_refused(masks.train(), "2 of 12 masks cannot be used", *bad)


def test_missing_folders_and_lists_are_named(masks: Masks) -> None:
    outcome = masks.train("data.root=nowhere", "data.train_list=list.txt")
    assert_refused(outcome, "nowhere/list.txt", "nowhere/train2017", "Correct data.root")


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ([], ["list.txt", "is empty"]),
        (["", "  "], ["list.txt", "is empty"]),
        (["000000000001", "2007_000032"], ["pictures named in", "are missing: 2007_000032"]),
        (["000000000001", "000000000001"], ["pictures named twice: 000000000001"]),
        (["../val2017/000000000013"], ["leave the image folder"]),
    ],
    ids=["nothing", "blank lines", "missing picture", "twice", "outside"],
)
def test_lists_of_pictures(masks: Masks, keys: Sequence[str], words: Sequence[str]) -> None:
    assert_refused(masks.train(masks.list_of(*keys)), *words)


def test_a_list_that_is_no_text(masks: Masks) -> None:
    listed = masks.list_of()
    (masks.folder / "list.txt").write_bytes(b"\xff\xfe\x00")
    assert_refused(masks.train(listed), "list.txt", "UTF-8")


@pytest.mark.parametrize("damage", ["picture", "mask"])
def test_a_damaged_file_is_named(masks: Masks, damage: str) -> None:
    path = (masks.pictures("val") if damage == "picture" else masks.paths("val"))[0]
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert_refused(masks.train(), path.name)


def test_pictures_of_any_colour_mode_train(masks: Masks) -> None:
    """16-bit gray and CMYK, of which every batch has some."""
    for number, path in enumerate(masks.pictures()):
        image = Image.open(path).convert("CMYK" if number % 2 else "L")
        path.unlink()
        if number % 2:
            image.save(path)
        else:
            Image.fromarray(np.asarray(image).astype(np.uint16) * 257).save(
                path.with_suffix(".png")
            )
    masks.train().require_success()


@pytest.mark.parametrize("options", [[], ["head.aspp=dense", "head.auxiliary=true"]], ids=str)
def test_a_batch_of_one_trains(masks: Masks, options: Sequence[str]) -> None:
    masks.train("data.batch_size=1", *options).require_success()
    one = masks.list_of("000000000003")  # one picture in all, whatever the batch
    masks.train(one, *options).require_success()


def test_a_last_batch_of_one_does_no_harm(masks: Masks) -> None:
    """Five pictures in batches of four and of one; measured and shown one by one."""
    five = masks.list_of(*[path.stem for path in masks.pictures()[:5]])
    arguments = [five, "data.val_batch_size=1", "data.batch_size=4"]
    train_segmenter(masks.data, masks.folder / "runs", *arguments).require_success()
    masks.evaluate("data.val_batch_size=1").require_success()
    measured = scores_of(masks.folder / "evaluation")["mIoU"]
    masks.evaluate("data.val_batch_size=5").require_success()  # and one of one
    assert scores_of(masks.folder / "evaluation")["mIoU"] == pytest.approx(measured, rel=1e-3)
    picture, weights = masks.pictures("val")[0], masks.run / "checkpoints" / "last.ckpt"
    outcome = run_tool("predict", picture, "--weights", weights, "--out", masks.folder / "out")
    outcome.require_success()


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["data.classes=[a, b]"], ["neither a class (0 to 1) nor void (255)"]),
        (["loss.class_weights=[1, 2]"], ["class_weights has 2 entries for 11 classes"]),
        (["data.num_classes=5"], ["num_classes is 5, but classes has 11 names"]),
        (["anchors.min_scale=0.1"], ["anchors is no known key"]),
    ],
)
def test_classes_and_weights(masks: Masks, overrides: Sequence[str], words: Sequence[str]) -> None:
    assert_refused(masks.train(*overrides), *words)


def test_weights_for_classes_without_names(masks: Masks) -> None:
    unnamed = ["data.classes=null", "data.num_classes=11"]
    outcome = masks.train(*unnamed, "loss.class_weights=[1, 2]")
    assert_refused(outcome, "class_weights has 2 entries for 11 classes")
    masks.train(*unnamed, f"loss.class_weights={[1] * 11}").require_success()


@pytest.mark.parametrize("tool", ["train", "evaluate"])
def test_a_checkpoint_of_the_other_task(masks: Masks, trained_run: Path, tool: str) -> None:
    detector = trained_run / "checkpoints" / "last.ckpt"
    overrides = segmentation_overrides(masks.data, masks.folder / "runs")
    if tool == "train":
        outcome = train_segmenter(masks.data, masks.folder / "runs", "--resume", detector)
    else:
        outcome = run_tool("evaluate", SEGMENTATION_CONFIG, "--weights", detector, *overrides)
    assert_refused(outcome, detector)
    assert not (masks.folder / "runs").exists()
