import csv
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from mnv2_dense.builders.opening import open_checkpoint
from mnv2_dense.builders.segmentation import read_split
from mnv2_dense.commands.segmentation import SegmentationColumn
from mnv2_dense.drawing import GAP, READABLE_SIDE, class_palette
from mnv2_dense.segmentation.index import SegmentationIndex
from mnv2_dense.segmentation.masks import MaskRule
from mnv2_dense.segmentation.metrics import PictureScores
from mnv2_dense.segmentation.scoring import evaluate
from mnv2_dense.segmentation.task import SegmentationTask
from mnv2_dense.shapes.label_maps import LABEL_NAMES
from mnv2_dense.structures import IGNORE_INDEX, Category, ImageSize, SegmentationBatch
from tests.commands.tiny import WINDOW, Outcome, read_json, run_tool, segmentation_config_of, tree

CATEGORIES = (Category(0, "background"), Category(1, 'cat, "tabby"'))
ORIENTATION, ROTATED = 0x0112, 6
"""EXIF tag of the orientation, and its value for "turn by a quarter"."""
SIZES = {
    "dot.png": (1, 1),
    "tall.png": (20, 300),
    "wide.png": (300, 20),
    "large.png": (2 * WINDOW + 5, 150),
    "exact.png": (WINDOW, WINDOW),
    "deep.png": (40, 30),
    "print.jpg": (40, 30),
    "photo.jpg": (30, 40),
    "gray.png": (40, 30),
}
"""Width and height of pictures as they are shown."""


def noise(width: int, height: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)


def write_odd_pictures(folder: Path) -> None:
    """16-bit gray, CMYK, rotated, gray, and colour pictures of all shapes."""
    folder.mkdir()
    for name in ("dot.png", "tall.png", "wide.png", "large.png", "exact.png"):
        Image.fromarray(noise(*SIZES[name])).save(folder / name)
    Image.fromarray(noise(40, 30)[..., 0].astype(np.uint16) * 256).save(folder / "deep.png")
    Image.fromarray(noise(40, 30)).convert("CMYK").save(folder / "print.jpg")
    Image.fromarray(noise(40, 30)).convert("L").save(folder / "gray.png")
    photo = Image.fromarray(noise(40, 30))
    photo.getexif()[ORIENTATION] = ROTATED
    photo.save(folder / "photo.jpg", exif=photo.getexif())


@pytest.fixture(scope="module")
def weights(segmentation_run: Path) -> Path:
    return segmentation_run / "checkpoints" / "best.ckpt"


@pytest.fixture(scope="module")
def predicted(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `predict.py` writes of the odd pictures, which lie in `in`, one of them broken."""
    folder = tmp_path_factory.mktemp("predicted")
    write_odd_pictures(folder / "in")
    (folder / "in" / "broken.png").write_bytes((folder / "in" / "large.png").read_bytes()[:200])
    before = tree(folder / "in")
    outcome = predict(weights, folder / "out", folder / "in")
    (folder / "err.txt").write_text(outcome.err)
    assert outcome.code == 2, outcome.err
    assert tree(folder / "in") == before
    return folder


def predict(weights: Path, out: Path, *arguments: object) -> Outcome:
    return run_tool("predict", *arguments, "--weights", weights, "--out", out)


def read(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


# Prediction


@pytest.mark.parametrize("name", SIZES)
def test_a_label_map_has_the_pictures_size_and_the_classes_as_indices(
    predicted: Path, name: str
) -> None:
    stem, size = Path(name).stem, SIZES[name]
    with Image.open(predicted / "out" / "label_maps" / f"{stem}.png") as image:
        assert (image.mode, image.size) == ("P", size)
        colors = image.getpalette()
        labels = np.asarray(image)
    assert labels.max() < len(LABEL_NAMES)
    assert colors == [value for color in class_palette() for value in color]
    (record,) = [each for each in records(predicted) if each["file_name"].endswith(f"/{name}")]
    counts = {LABEL_NAMES[label]: int((labels == label).sum()) for label in np.unique(labels)}
    pixels = size[0] * size[1]
    shares = {key: pytest.approx(count / pixels) for key, count in counts.items()}
    assert record["shares"] == shares
    assert list(record["shares"].values()) == sorted(record["shares"].values(), reverse=True)
    assert (record["width"], record["height"]) == size
    assert record["label_map"] == f"label_maps/{stem}.png"


def records(predicted: Path) -> list[dict[str, Any]]:
    return read_json(predicted / "out" / "shares.json")


@pytest.mark.parametrize("name", SIZES)
def test_an_overlay_shows_the_picture_and_a_legend_beside_it(predicted: Path, name: str) -> None:
    width, height = SIZES[name]
    overlay = read(predicted / "out" / "overlays" / f"{Path(name).stem}.png")
    assert overlay.shape[0] >= height
    assert overlay.shape[1] > width + GAP
    assert (overlay[:height, width : width + GAP] == 255).all()


def test_what_is_seen_is_more_than_one_class(predicted: Path) -> None:
    assert len({name for record in records(predicted) for name in record["shares"]}) > 1


def test_a_broken_picture_is_named_and_the_others_are_done(predicted: Path) -> None:
    message = (predicted / "err.txt").read_text()
    broken = predicted / "in" / "broken.png"
    assert message.startswith(f"error: 1 of {len(SIZES) + 1} pictures failed: {broken}: ")
    assert message.count("\n") == 1
    assert sorted(Path(record["file_name"]).name for record in records(predicted)) == sorted(SIZES)
    written = {path.name for path in (predicted / "out").rglob("*.png")}
    assert written == {f"{Path(name).stem}.png" for name in SIZES}


def test_a_rotated_photo_is_seen_upright(predicted: Path, weights: Path, tmp_path: Path) -> None:
    with Image.open(predicted / "in" / "photo.jpg") as photo:
        upright = np.asarray(photo.convert("RGB").rotate(-90, expand=True))
    Image.fromarray(upright).save(tmp_path / "upright.png")
    predict(weights, tmp_path / "out", tmp_path / "upright.png").require_success()
    one = read(predicted / "out" / "label_maps" / "photo.png")
    assert np.array_equal(one, read(tmp_path / "out" / "label_maps" / "upright.png"))


def test_overrides_change_how_a_picture_is_seen(
    predicted: Path, weights: Path, tmp_path: Path
) -> None:
    source = predicted / "in" / "large.png"
    overrides = ["evaluation.flip=true", "evaluation.large_pictures=shrink"]
    predict(weights, tmp_path, overrides[0], source, overrides[1]).require_success()
    changed = read(tmp_path / "label_maps" / "large.png")
    assert (changed != read(predicted / "out" / "label_maps" / "large.png")).any()


def test_a_score_threshold_is_for_detectors(weights: Path, tmp_path: Path) -> None:
    Image.fromarray(noise(4, 4)).save(tmp_path / "a.png")
    outcome = predict(weights, tmp_path / "out", tmp_path / "a.png", "--score-threshold", 0.5)
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)
    assert (
        f"--score-threshold is for detectors and joint networks; {weights} is a segmenter"
        in outcome.err
    )
    assert not (tmp_path / "out").exists()


def test_earlier_results_are_no_sources(weights: Path, tmp_path: Path) -> None:
    Image.fromarray(noise(8, 8)).save(tmp_path / "a.png")
    for _ in range(2):
        predict(weights, tmp_path, tmp_path).require_success()
    shares = read_json(tmp_path / "shares.json")
    assert [record["file_name"] for record in shares] == [str(tmp_path / "a.png")]
    assert {name for name in tree(tmp_path) if name.endswith(".png")} == {
        *("a.png", "label_maps/a.png", "overlays/a.png")
    }


# Evaluation


def test_a_tables_cells_survive_any_name(tmp_path: Path) -> None:
    scores = evaluate(np.array([[5, 1], [2, 3]]), [category.name for category in CATEGORIES])
    kept = PictureScores(2)
    kept.scores = {'b, "2"': 0.25, "a": 1.0, "void": -1.0}
    kept.classes = {'b, "2"': 2, "a": 1, "void": 0}
    paths = column(scores=scores, picture_scores=kept).write_results(tmp_path)
    names = ["confusion_matrix.csv", "confusion_matrix.png", "picture_scores.csv"]
    assert [path.name for path in paths] == names
    with paths[2].open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows == [
        *(["picture", "mIoU", "classes"], ["a", "1.0", "1"], ['b, "2"', "0.25", "2"]),
        ["void", "", "0"],
    ]
    paths = column(scores=scores, picture_scores=None).write_results(tmp_path)
    assert [path.name for path in paths] == names[:2]
    with paths[0].open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows == [
        ["true class", "background", 'cat, "tabby"'],
        ["background", "5", "1"],
        ['cat, "tabby"', "2", "3"],
    ]
    assert read(paths[1]).ndim == 3


def column(**task: Any) -> SegmentationColumn:
    return SegmentationColumn(SimpleNamespace(**task), CATEGORIES, ImageSize(WINDOW, WINDOW))


def test_a_pair_is_truth_and_prediction_in_readable_size(
    weights: Path, shapes_set: Path, tmp_path: Path
) -> None:
    _, categories, task = open_checkpoint(weights)
    assert isinstance(task, SegmentationTask)
    index = read_split(segmentation_config_of(shapes_set), "val")
    shown = SegmentationColumn(task, categories, ImageSize(WINDOW, WINDOW))
    assert shown.describe_split(index) == "6 images"
    name, picture = shown.draw_pair(index, 0)
    assert name == index.image_id(0)
    assert picture.shape[1] > 2 * READABLE_SIDE
    # Against a mask that says what is predicted, both sides are alike.
    batch = read(index.path(0))
    sizes = [ImageSize(*batch.shape[:2])]
    images = torch.from_numpy(batch.copy()).permute(2, 0, 1)[None]
    (seen,) = task.eval().predict_step(SegmentationBatch(images, images[:, 0], sizes, [""]), 0)
    Image.fromarray(seen.numpy()).save(tmp_path / "mask.png")
    told = SegmentationIndex(
        categories,
        ["city/one"],
        [index.path(0)],
        [tmp_path / "mask.png"],
        MaskRule(len(categories)),
    )
    name, picture = shown.draw_pair(told, 0)
    assert name == "city/one"
    side = (picture.shape[1] - GAP) // 2
    assert np.array_equal(picture[:, :side], picture[:, side + GAP :])


def test_a_batch_is_described_by_its_void() -> None:
    label_maps = torch.zeros(1, 2, 4, dtype=torch.uint8)
    label_maps[0, 0, 0] = IGNORE_INDEX
    label_maps[0, 1, :] = IGNORE_INDEX
    batch = SegmentationBatch(torch.zeros(1, 3, 2, 4), label_maps, [ImageSize(2, 4)], ["a"])
    assert column().describe_batch(batch) == "62% void"
