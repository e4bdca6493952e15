"""Pictures that are damaged, odd or huge, in training, evaluation and prediction."""

import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from mnv2_dense.images import image_size
from mnv2_dense.prediction.engine import DetectorArrays, SegmenterArrays
from mnv2_dense.prediction.torch_engine import TorchEngine
from mnv2_dense.structures import ImageSize
from mnv2_dense.training.task import DenseTask
from tests.commands.tiny import (
    SIZE,
    STEPS,
    checkpoint,
    logged,
    only_run,
    read_json,
    read_log,
)
from tests.spoiling import (
    BAD_PICTURES,
    SKIP,
    TASKS,
    Pictures,
    assert_refused,
    rotate_by_exif,
    scores_of,
    spoil,
)

FAULTS = {
    "truncated": "the image cannot be read",
    "empty": "not an image",
    "text": "not an image",
    "bomb": "the image is too large to be opened safely",
}


@pytest.fixture(params=TASKS)
def pictures(
    request: pytest.FixtureRequest,
    shapes_set: Path,
    trained_run: Path,
    segmentation_run: Path,
    tmp_path: Path,
) -> Pictures:
    shutil.copytree(shapes_set, tmp_path / "shapes")
    run = trained_run if request.param == "detection" else segmentation_run
    return Pictures(tmp_path, tmp_path / "shapes", request.param, run)


@pytest.mark.parametrize("kind", BAD_PICTURES)
def test_a_bad_picture_stops_an_evaluation(pictures: Pictures, kind: str) -> None:
    bad = pictures.paths()[1]
    spoil(bad, kind)
    workers = 1 if kind == "truncated" else 0
    assert_refused(pictures.evaluate(f"data.num_workers={workers}"), f"{bad}: {FAULTS[kind]}")


@pytest.mark.parametrize("workers", [0, 1])
def test_bad_pictures_are_skipped_in_training(pictures: Pictures, workers: int) -> None:
    bad = [*pictures.paths("train")[3:5], pictures.paths()[0]]
    kinds = list(BAD_PICTURES)[workers:][:3]
    for path, kind in zip(bad, kinds, strict=True):
        spoil(path, kind)
    outcome = pictures.train(SKIP, "training.epochs=2", f"data.num_workers={workers}")
    outcome.require_success()
    assert outcome.out.count(" pictures cannot be used and are skipped (all in ") == 1
    assert "3 pictures cannot be used and are skipped (all in " in outcome.out
    assert f"1 of 6 pictures could not be used and were not measured: {bad[2]}: " in outcome.out
    run = only_run(pictures.folder / "runs")
    lines = (run / "bad_images.txt").read_text().splitlines()
    assert sorted(line.split(": ")[0] for line in lines) == [str(path) for path in bad]
    assert checkpoint(run)["global_step"] == 2 * STEPS
    left_out = json.loads((run / "metrics.json").read_text())["unmeasured"]
    assert (left_out["count"], left_out["of"]) == (1, 6)
    assert left_out["pictures"] == [line for line in lines if line.startswith(str(bad[2]))]


@pytest.mark.parametrize("kind", BAD_PICTURES)
def test_bad_pictures_stop_a_training_by_default(pictures: Pictures, kind: str) -> None:
    spoil(pictures.paths("train")[3], kind)
    assert_refused(pictures.train(), f"{pictures.paths('train')[3]}: {FAULTS[kind]}")


def test_missing_pictures_are_all_named_at_the_beginning(pictures: Pictures) -> None:
    """Also where bad pictures are skipped: what names them is wrong."""
    listed = []
    if pictures.task == "segmentation":  # where nothing names a picture, none is missing
        for split in ("train", "val"):
            names = [path.stem for path in pictures.paths(split)]
            (pictures.data / f"{split}.txt").write_text("\n".join(names))
            listed.append(f"data.{split}_list={split}.txt")
    missing = [*pictures.paths("train")[2:5], *pictures.paths()[1:4]]
    for path in missing:
        path.unlink()
    for options in (listed, [*listed, SKIP]):
        assert_refused(pictures.train(*options), *[path.stem for path in missing[:3]])
        assert_refused(pictures.evaluate(*options), *[path.stem for path in missing[3:]])
    assert not list(pictures.folder.glob("runs")) + list(pictures.folder.glob("evaluation"))
    assert_refused(pictures.predict(missing[0]), f"{missing[0]}: no such file or folder")


def test_an_evaluation_without_bad_pictures_is_that_of_the_others(pictures: Pictures) -> None:
    """A whole batch of bad ones, and one of another."""
    bad = [*pictures.paths()[:4], pictures.paths()[5]]
    for path in bad:
        spoil(path)
    outcome = pictures.evaluate(SKIP, "--pictures", "6").require_success()
    assert "5 of 6 pictures could not be used and were not measured: " in outcome.out
    assert "wrote 1 pictures" in outcome.out
    skipped = scores_of(pictures.folder / "evaluation")
    metrics = json.loads((pictures.folder / "evaluation" / "metrics.json").read_text())
    assert metrics["unmeasured"]["count"] == 5
    pictures.evaluate(*pictures.leave_out(bad)).require_success()
    assert scores_of(pictures.folder / "evaluation") == skipped


def test_a_set_of_bad_pictures_alone_is_refused(pictures: Pictures) -> None:
    for path in (*pictures.paths(), *pictures.paths("train")):
        spoil(path)
    words = "none of the 6 pictures to measure can be used"
    assert_refused(pictures.evaluate(SKIP), words, pictures.paths()[0])
    for workers in (0, 1):
        outcome = pictures.train(SKIP, f"data.num_workers={workers}")
        assert_refused(outcome, "12 pictures, one after the other, cannot be used")


@pytest.mark.parametrize("pictures", ["detection"], indirect=True)
def test_pictures_of_another_size_than_annotated_are_skipped(pictures: Pictures) -> None:
    for path in (pictures.paths("train")[2], pictures.paths()[3]):
        Image.new("RGB", (30, 20)).save(path)
    outcome = pictures.train(SKIP).require_success()
    assert "2 pictures cannot be used" in outcome.out
    assert f"1 of 6 pictures could not be used and were not measured: {path}: " in outcome.out


@pytest.mark.parametrize("pictures", ["segmentation"], indirect=True)
def test_bad_masks_are_skipped(pictures: Pictures) -> None:
    smaller, foreign, colored = pictures.masks("train")[1:4]
    Image.new("L", (SIZE, SIZE - 1)).save(smaller)
    Image.new("L", (SIZE, SIZE), 77).save(foreign)
    Image.new("RGB", (SIZE, SIZE), "red").save(colored)
    damaged = pictures.masks()[5]
    damaged.write_bytes(damaged.read_bytes()[:60])
    assert_refused(pictures.train(), "masks and pictures that cannot be used", smaller)
    outcome = pictures.train(SKIP).require_success()
    assert "3 masks cannot be used and are skipped" in outcome.out
    assert "4 pictures cannot be used and are skipped" in outcome.out
    assert f"1 of 6 pictures could not be used and were not measured: {damaged}: " in outcome.out
    named = (only_run(pictures.folder / "runs") / "bad_images.txt").read_text()
    assert all(str(path) in named for path in (smaller, foreign, colored, damaged))


def test_a_bad_picture_does_not_stop_a_folder(pictures: Pictures) -> None:
    bad = pictures.paths()[: len(BAD_PICTURES)]
    for path, kind in zip(bad, BAD_PICTURES, strict=True):
        spoil(path, kind)
    (pictures.data / "val2017" / "folder.jpg").mkdir()
    outcome = pictures.predict(pictures.data / "val2017")
    faults = [f"{path}: {FAULTS[kind]}" for path, kind in zip(bad, BAD_PICTURES, strict=True)]
    assert_refused(outcome, "4 of 6 pictures failed: ", *faults)
    assert "records of 2 pictures" in outcome.out
    done = {line.split(": ")[0] for line in outcome.out.splitlines() if " -> " in line}
    assert done == {str(path) for path in pictures.paths()[4:6]}


ODD_MODES: dict[str, tuple[str, str]] = {
    "CMYK": ("CMYK", "JPEG"),
    "gray": ("L", "JPEG"),
    "gray with alpha": ("LA", "PNG"),
    "RGBA": ("RGBA", "PNG"),
    "palette": ("P", "PNG"),
    "1-bit": ("1", "PNG"),
    "16-bit": ("I;16", "PNG"),
    "GIF": ("P", "GIF"),
    "WebP": ("RGB", "WEBP"),
    "BMP": ("RGB", "BMP"),
    "TIFF": ("RGB", "TIFF"),
}


EXACT: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 98, "subsampling": 0},
    "WEBP": {"lossless": True},
}


def test_odd_modes_and_formats_are_converted(pictures: Pictures) -> None:
    """All of them under the names .jpg that the annotations have."""
    for split in ("train", "val"):
        odd = list(ODD_MODES.values())[:: 1 if split == "train" else 2]
        for path, (mode, form) in zip(pictures.paths(split), odd, strict=False):
            with Image.open(path) as image:
                gray = np.asarray(image.convert("L")).astype(np.uint16) * 257
                same = Image.fromarray(gray) if mode == "I;16" else image.convert(mode)
            same.save(path, form)
    pictures.train().require_success()
    pictures.evaluate().require_success()
    pictures.predict(pictures.data / "train2017").require_success()


def write_odd(path: Path, kind: str) -> None:
    """Saves a picture in an odd mode under its name; beside it what that shows, as plain PNG."""
    mode, form = ODD_MODES[kind]
    with Image.open(path) as image:
        original = image.convert("L" if kind in ("16-bit", "gray") else "RGB")
    odd = plain = original.convert(mode if kind != "16-bit" else "L")
    if kind == "16-bit":
        odd = Image.fromarray(np.asarray(plain).astype(np.uint16) * 257)
    odd.save(path, form, **EXACT.get(form, {}))
    if form == "JPEG":
        with Image.open(path) as image:
            plain = image.convert("RGB")
        lost = np.asarray(plain).astype(float) - np.asarray(original.convert("RGB"))
        assert np.abs(lost).mean() < 4  # levels
    plain.convert("RGB").save(path.with_suffix(".plain"), "PNG")


def write_deep(path: Path) -> None:
    """Saves a picture as PNG with 16 bits of each colour, whose low bytes say nothing."""
    with Image.open(path) as image:
        colors = np.asarray(image.convert("RGB"))
    image.save(path.with_suffix(".plain"), "PNG")
    written, data = cv2.imencode(".png", colors[:, :, ::-1].astype(np.uint16) * 256 + 77)
    assert written
    path.write_bytes(data.tobytes())


def inputs_of(pictures: Pictures, patch: pytest.MonkeyPatch, output: str) -> list[torch.Tensor]:
    """What the network gets in a training, an evaluation and a prediction, in levels of 0-255."""
    seen: list[torch.Tensor] = []
    predicted: list[torch.Tensor] = []
    normalize = DenseTask.normalize

    def record(task: DenseTask, images: torch.Tensor) -> torch.Tensor:
        normalized = normalize(task, images)
        seen.append((normalized * task.std + task.mean).clone())
        return normalized

    run = TorchEngine.run

    def record_levels(
        engine: TorchEngine, images: np.ndarray, score_threshold: float = 0.0
    ) -> DetectorArrays | SegmenterArrays:
        predicted.append(torch.from_numpy(images.copy()).permute(0, 3, 1, 2).float())
        return run(engine, images, score_threshold)

    with patch.context() as context:
        context.setattr(DenseTask, "normalize", record)
        context.setattr(TorchEngine, "run", record_levels)
        pictures.train(f"training.output={pictures.folder / output}").require_success()
        pictures.evaluate().require_success()
        pictures.predict(pictures.data / "train2017", "--engine", "torch").require_success()
    # Several threads predict: their order is not that of the pictures.
    return seen + sorted(predicted, key=lambda images: images.numpy().tobytes())


@pytest.mark.parametrize(
    "pictures", [pytest.param("detection", marks=pytest.mark.long), "segmentation"], indirect=True
)
def test_odd_modes_have_the_right_colours(
    pictures: Pictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside what Pillow shows of them, and of 16 bits beside the 8 that they were made of."""
    paths = [*pictures.paths("train"), *pictures.paths()]
    for number, path in enumerate(paths):
        kinds = [kind for kind in ODD_MODES if "alpha" not in kind]
        if number % (len(kinds) + 1) == len(kinds):
            write_deep(path)
        else:
            write_odd(path, kinds[number % (len(kinds) + 1)])
    plain = {path: path.with_suffix(".plain").read_bytes() for path in paths}
    for path in paths:
        path.with_suffix(".plain").unlink()
    odd = inputs_of(pictures, monkeypatch, "odd")
    for path, data in plain.items():
        path.write_bytes(data)
    expected = inputs_of(pictures, monkeypatch, "plain")
    assert len(odd) == len(expected) > len(paths)
    assert max(each.std() for each in expected) > 20  # levels: there is something to see
    for found, wanted in zip(odd, expected, strict=True):
        torch.testing.assert_close(found, wanted, atol=0.01, rtol=0)


@pytest.mark.parametrize(
    "pictures", [pytest.param("detection", marks=pytest.mark.long), "segmentation"], indirect=True
)
def test_extreme_shapes_give_results(pictures: Pictures) -> None:
    sizes = [(1, 1), (1, 20000), (20000, 1)]
    pictures.resize("train", sizes)
    pictures.train().require_success()
    # A segmenter looks at them window by window, which takes seconds each.
    pictures.resize("val", sizes if pictures.task == "detection" else sizes[:2])
    pictures.evaluate().require_success()
    for size in sizes if pictures.task == "detection" else (sizes[0], sizes[2]):
        Image.new("RGB", size).save(pictures.folder / "long.png")
        pictures.predict(pictures.folder / "long.png").require_success()


@pytest.mark.parametrize(
    "pictures", [pytest.param("segmentation", marks=pytest.mark.long), "detection"], indirect=True
)
def test_annotations_are_of_stored_pixels_and_predictions_upright(pictures: Pictures) -> None:
    pictures.resize("val", [(48, 32)])
    pictures.evaluate().require_success()
    before = scores_of(pictures.folder / "evaluation")
    for path in (*pictures.paths("train"), *pictures.paths()):
        rotate_by_exif(path)
    pictures.evaluate().require_success()
    assert scores_of(pictures.folder / "evaluation") == before
    pictures.train().require_success()
    losses = [
        logged(read_log(run), "train/loss")
        for run in (only_run(pictures.folder / "runs"), pictures.run)
    ]
    assert losses[0] == losses[1]
    pictures.predict(pictures.paths()[0]).require_success()
    drawn = [image_size(path) for path in (pictures.folder / "predictions").rglob("*.png")]
    assert ImageSize(48, 32) in drawn


def turn_in_file(path: Path) -> None:
    """The same picture to a viewer, of which the file has the pixels turned; lossless."""
    with Image.open(path) as image:
        turned = image.convert("RGB").transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.save(path, "PNG", exif=exif)


@pytest.mark.parametrize(
    "pictures", [pytest.param("segmentation", marks=pytest.mark.long), "detection"], indirect=True
)
def test_pictures_annotated_as_viewers_show_them(pictures: Pictures) -> None:
    pictures.resize("val", [(48, 32)])
    pictures.evaluate().require_success()
    before = scores_of(pictures.folder / "evaluation")
    pictures.predict(pictures.data / "val2017").require_success()
    seen = {path.name: read_json(path) for path in pictures.folder.glob("predictions/*.json")}
    shutil.rmtree(pictures.folder / "predictions")
    for path in (*pictures.paths("train"), *pictures.paths()):
        turn_in_file(path)
    assert_refused(pictures.evaluate(), pictures.paths()[0].stem, "32 x 48", "48 x 32")
    upright = "data.orientation=upright"
    pictures.evaluate(upright).require_success()
    assert scores_of(pictures.folder / "evaluation") == before
    pictures.train(upright).require_success()
    logs = [read_log(run) for run in (only_run(pictures.folder / "runs"), pictures.run)]
    assert logged(logs[0], "train/loss") == logged(logs[1], "train/loss")
    pictures.predict(pictures.data / "val2017").require_success()
    again = {path.name: read_json(path) for path in pictures.folder.glob("predictions/*.json")}
    assert again == seen != {}
