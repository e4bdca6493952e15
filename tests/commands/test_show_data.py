import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mnv2_dense.builders import build_data, read_split
from mnv2_dense.commands.detection import DetectionColumn
from mnv2_dense.commands.segmentation import SegmentationColumn
from mnv2_dense.commands.show_data import find_image, first_keys
from mnv2_dense.detection.draw import label_color
from mnv2_dense.structures import (
    IGNORE_INDEX,
    BoxTargets,
    DetectionSample,
    ImageSize,
    SegmentationSample,
)
from tests.commands.tiny import (
    BATCH,
    CONFIG,
    SEGMENTATION_CONFIG,
    SIZE,
    TRAIN_IMAGES,
    VAL_IMAGES,
    WINDOW,
    Outcome,
    config_of,
    run_tool,
    segmentation_config_of,
    segmentation_overrides,
    tiny_overrides,
    tree,
)

AUGMENTED = ("augmentation.photometric=0.5", "augmentation.expand=0.5")
NAMES = ("cat", "dog")
FACTOR = 8
"""Of the tiny pictures, 64 pixels, on a sheet: their longer side becomes 480 or more."""


def show(data: Path, out: Path, *arguments: object) -> Outcome:
    overrides = tiny_overrides(data, out.parent)
    return run_tool("show_data", CONFIG, *overrides, *AUGMENTED, "--out", out, *arguments)


def read(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


@pytest.mark.parametrize("task", ["detection", "segmentation"])
def test_the_first_samples_of_an_epoch_are_those_of_its_first_batch(
    shapes_set: Path, task: str
) -> None:
    config = {"detection": config_of, "segmentation": segmentation_config_of}[task](shapes_set)
    index = read_split(config, "train")
    data = build_data(config, index, index)
    loader = data.train_dataloader()
    loader.sampler.set_epoch(2)  # pyrefly: ignore[missing-attribute]
    batch = next(iter(loader))
    keys = first_keys(config, len(index), "train", 3, BATCH)
    assert data.train_dataset is not None
    samples = [data.train_dataset[key] for key in keys]
    assert [sample.image_id for sample in samples] == batch.image_ids
    assert torch.equal(torch.stack([sample.image for sample in samples]), batch.images)


def test_a_sheet_shows_the_samples_and_a_line_says_each(shapes_set: Path, tmp_path: Path) -> None:
    outcome = show(shapes_set, tmp_path / "a.png", "--count", 4, "--epoch", 2).require_success()
    config = config_of(shapes_set, *AUGMENTED)
    index = read_split(config, "train")
    dataset = build_data(config, index, index).train_dataset
    assert dataset is not None
    sheet, lines = read(tmp_path / "a.png"), outcome.out.splitlines()
    for line, key in zip(lines, first_keys(config, len(index), "train", 2, 4), strict=False):
        sample = dataset[key]
        assert line.startswith(f"{sample.image_id}, {SIZE}x{SIZE}, epoch 2: ")
        assert sum(int(word) for word in line.split("boxes: ")[-1].split() if word.isdigit()) == (
            len(sample.targets.labels)
        )
        assert holds(
            sheet, sample.image.permute(1, 2, 0).numpy().repeat(FACTOR, 0).repeat(FACTOR, 1)
        )
    assert lines[-1] == f"wrote 4 pictures to {tmp_path / 'a.png'}"


def test_colours_that_are_left_to_the_device_are_shown(shapes_set: Path, tmp_path: Path) -> None:
    for place in ("worker", "device"):
        out = tmp_path / f"{place}.png"
        show(shapes_set, out, "--count", 2, f"training.photometric_on={place}").require_success()
    np.testing.assert_array_equal(read(tmp_path / "worker.png"), read(tmp_path / "device.png"))


def holds(sheet: np.ndarray, tile: np.ndarray) -> bool:
    """Whether a picture is on a sheet, but for the lines and names drawn on it."""
    height, width = tile.shape[:2]
    tops = {len(sheet) - row * (height + 26) for row in (1, 2)}
    places = [(t + d, left) for t in tops for d in range(23) for left in (0, width + 4)]
    cells = (sheet[top : top + height, left : left + width] for top, left in places)
    return any(c.shape == tile.shape and (c == tile).all(axis=2).mean() > 0.8 for c in cells)


def test_the_same_command_draws_the_same_sheet_and_another_epoch_another(
    shapes_set: Path, tmp_path: Path
) -> None:
    before = tree(shapes_set)
    for name, epoch in (("a", 1), ("b", 1), ("c", 2)):
        show(shapes_set, tmp_path / f"{name}.png", "--epoch", epoch, "--count", 2)
    a, b, c = ((tmp_path / f"{name}.png").read_bytes() for name in "abc")
    assert a == b != c
    assert tree(shapes_set) == before


def test_no_more_samples_than_there_are(shapes_set: Path, tmp_path: Path) -> None:
    outcome = show(shapes_set, tmp_path / "a.png", "--count", 100).require_success()
    assert f"wrote {TRAIN_IMAGES} pictures" in outcome.out
    outcome = show(shapes_set, tmp_path / "b.png", "--split", "val").require_success()
    lines = outcome.out.splitlines()
    assert f"wrote {VAL_IMAGES} pictures" in lines[-1]
    assert all(", as evaluated: " in line for line in lines[:-1])


def test_one_picture_as_stored_and_in_several_epochs(shapes_set: Path, tmp_path: Path) -> None:
    index = read_split(config_of(shapes_set), "train")
    name, image_id = index.path(3).name, index.image_id(3)
    arguments = ("--image", name, "--count", 3, "--epoch", 5)
    lines = show(shapes_set, tmp_path / "a.png", *arguments).require_success().out.splitlines()
    heads = [line.split(": ")[0] for line in lines[:-1]]
    what = ["as stored", "epoch 5", "epoch 6", "epoch 7"]
    assert heads == [f"{image_id}, {SIZE}x{SIZE}, {each}" for each in what]
    assert holds(read(tmp_path / "a.png"), read(index.path(3)).repeat(FACTOR, 0).repeat(FACTOR, 1))
    image_id = read_split(config_of(shapes_set), "val").image_id(0)
    outcome = show(shapes_set, tmp_path / "b.png", "--image", image_id, "--split", "val")
    assert "wrote 2 pictures" in outcome.require_success().out


def test_a_segmenters_samples_and_void(shapes_set: Path, tmp_path: Path) -> None:
    overrides = [*segmentation_overrides(shapes_set, tmp_path), "augmentation.max_scale=0.5"]
    out = tmp_path / "a.png"
    outcome = run_tool("show_data", SEGMENTATION_CONFIG, *overrides, "--out", out, "--count", 2)
    first, _, last = outcome.require_success().out.splitlines()
    assert f", {WINDOW}x{WINDOW}, epoch 1: background " in first
    # Half of 64 pixels in a crop of 65: the rest is void.
    assert float(first.split(", ")[-1].removesuffix("% void")) >= 100 * (1 - 32**2 / WINDOW**2) - 1
    assert last == f"wrote 2 pictures to {out}"


def test_boxes_are_drawn_at_the_size_of_the_sheet() -> None:
    image = torch.zeros(3, 60, 60, dtype=torch.uint8)
    targets = BoxTargets(torch.tensor([[10.0, 20, 50, 50]]), torch.tensor([1]))
    words, drawn = DetectionColumn.draw_sample(
        DetectionSample(image, targets, 7, ImageSize(60, 60)), NAMES
    )
    assert words == "boxes: 1 dog"
    assert drawn.shape == (480, 480, 3)
    assert tuple(drawn[300, 80]) == label_color(1)
    assert tuple(drawn[400, 300]) == label_color(1)
    assert not drawn[300, 100:300].any()


def test_a_large_picture_is_shrunk_with_its_boxes_and_its_labels() -> None:
    image = torch.full((3, 1280, 640), 100.4, dtype=torch.float32)  # as `legacy_bilinear` gives it
    targets = BoxTargets(torch.tensor([[100.0, 200, 500, 1000]]), torch.tensor([0]))
    sample = DetectionSample(image, targets, 7, ImageSize(1280, 640))
    _, drawn = DetectionColumn.draw_sample(sample, NAMES)
    assert drawn.shape == (640, 320, 3)
    assert tuple(drawn[300, 50]) == label_color(0)
    assert tuple(drawn[300, 100]) == (100, 100, 100)
    labels = torch.zeros(1280, 640, dtype=torch.uint8)
    labels[640:] = IGNORE_INDEX
    words, drawn = SegmentationColumn.draw_sample(
        SegmentationSample(image, labels, "a"), ("background", "cat")
    )
    assert words == "background 100.0%, 50.0% void"
    assert (drawn[:320, :320] == 100).mean() > 0.99
    assert set(np.unique(drawn[320:, :320])) == {0, 100, 255}


def test_a_sample_without_boxes() -> None:
    nothing = BoxTargets(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64))
    image = torch.zeros(3, 60, 60, dtype=torch.uint8)
    sample = DetectionSample(image, nothing, 7, ImageSize(60, 60))
    words, drawn = DetectionColumn.draw_sample(sample, NAMES)
    assert words == "no boxes"
    assert not drawn.any()


def test_an_image_is_found_by_id_name_and_path(shapes_set: Path) -> None:
    index = read_split(config_of(shapes_set), "train")
    path = index.path(2)
    for name in (str(index.image_id(2)), path.name, str(path)):
        assert find_image(index, name) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--image", "nobody.png"], "no image of this id or file in the split; it has the ids "),
        (["--image", "elsewhere/000000000001.png"], "no image of this id or file"),
        (["--count", "0"], "from 1 to 100, not 0"),
        (["--count", "101"], "from 1 to 100, not 101"),
        (["--epoch", "0"], "at least 1, not 0"),
        (["--epoch", "2", "--split", "val"], "validation is the same in every epoch"),
        (["--out", "a.jpg"], "--out is a .png file, not a.jpg"),
        (["--out", "nowhere/a.png"], "nowhere is no folder that can be written to"),
    ],
)
def test_a_mistake_is_said_in_one_line_and_nothing_is_written(
    shapes_set: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = run_tool("show_data", CONFIG, *tiny_overrides(shapes_set, tmp_path), *arguments)
    assert outcome.code == 2
    assert message in outcome.err
    assert not tree(tmp_path)


def test_no_file_is_replaced(
    shapes_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.png").write_text("mine")
    outcome = show(shapes_set, tmp_path / "a.png")
    assert outcome.code == 2
    assert "exists; give another name" in outcome.err
    assert (tmp_path / "a.png").read_text() == "mine"
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        overrides = tiny_overrides(shapes_set, tmp_path)
        run_tool("show_data", CONFIG, *overrides, "--count", 1).require_success()
    assert set(tree(tmp_path)) == {
        *("a.png", "ssdlite_shapes-train.png", "ssdlite_shapes-train-2.png")
    }


def test_a_broken_picture_is_named(shapes_set: Path, tmp_path: Path) -> None:
    root = tmp_path / "shapes"
    shutil.copytree(shapes_set, root)
    broken = read_split(config_of(root), "train").path(0)
    broken.write_bytes(broken.read_bytes()[:200])
    outcome = show(root, tmp_path / "a.png")
    assert outcome.code == 2
    assert str(broken) in outcome.err
    assert not (tmp_path / "a.png").exists()


def test_a_bad_picture_is_replaced_as_in_training_or_left_out_as_in_evaluation(
    shapes_set: Path, tmp_path: Path
) -> None:
    root = tmp_path / "shapes"
    shutil.copytree(shapes_set, root)
    for split, drawn in (("train", TRAIN_IMAGES), ("val", VAL_IMAGES - 1)):
        broken = read_split(config_of(root), split).path(0)
        broken.write_bytes(broken.read_bytes()[:200])
        arguments = ("data.on_bad_image=skip", "--split", split)
        outcome = show(root, tmp_path / f"{split}.png", *arguments).require_success()
        assert f"skipped: {broken}" in outcome.out
        assert f"wrote {drawn} pictures" in outcome.out
    for path in (root / "val2017").iterdir():
        path.write_bytes(b"")
    outcome = show(root, tmp_path / "none.png", "data.on_bad_image=skip", "--split", "val")
    assert (outcome.code, (tmp_path / "none.png").exists()) == (2, False)
    assert f"none of the first {VAL_IMAGES} pictures of val can be used" in outcome.err


def test_a_checkpoint_stands_for_its_config(trained_run: Path, tmp_path: Path) -> None:
    weights = trained_run / "checkpoints" / "best.ckpt"
    out = tmp_path / "a.png"
    run_tool("show_data", weights, "--count", 2, "--out", out).require_success()
    assert out.is_file()


def test_real_pictures(shared: Path, tmp_path: Path) -> None:
    root = shared / "data" / "coco"
    out = tmp_path / "a.png"
    outcome = show(root, out, "--count", 9, "data.num_classes=80").require_success()
    assert "wrote 9 pictures" in outcome.out
    assert ", 64x64, epoch 1: " in outcome.out
