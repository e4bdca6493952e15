import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mnv2_dense.detection.draw import label_color
from mnv2_dense.drawing import class_palette
from mnv2_dense.errors import UserError
from mnv2_dense.prediction.loading import load
from mnv2_dense.prediction.predictor import Predictor
from mnv2_dense.serving.viewer import LOWEST_SCORE, SHOWN_SIDE, Viewer
from tests.commands.tiny import SIZE
from tests.serving.networks import (
    BOXES,
    DETECTED,
    LABELS,
    SCORES,
    KnownDetector,
    KnownSegmenter,
    manifest_of,
    viewer_of,
)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """Wide as stored, and to be turned to be upright."""
    path = tmp_path / "photo"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (60, 40), "red").save(path, "JPEG", exif=exif)
    return path


def test_boxes_are_shares_of_the_upright_picture(photo: Path) -> None:
    answer = viewer_of(KnownDetector()).look(photo)
    assert answer["size"] == [60, 40]
    np.testing.assert_allclose([each["box"] for each in answer["boxes"]], BOXES, atol=1e-6)
    np.testing.assert_allclose([each["score"] for each in answer["boxes"]], SCORES)
    assert [each["label"] for each in answer["boxes"]] == LABELS
    assert _open(answer["picture"]).size == (40, 60)


def test_the_server_sends_boxes_below_the_first_threshold(photo: Path) -> None:
    assert min(SCORES) >= LOWEST_SCORE
    viewer = viewer_of(KnownDetector())
    assert len(viewer.look(photo)["boxes"]) == len(BOXES)
    assert viewer.describe()["lowest_score"] == LOWEST_SCORE


def test_times_add_up(photo: Path) -> None:
    times = viewer_of(KnownDetector()).look(photo)["times"]
    parts = [times[step] for step in ("read", "prepare", "run", "finish")]
    assert min(parts) >= 0
    assert times["read"] > 0
    assert sum(parts) <= times["total"]


def test_a_label_map_and_its_shares(photo: Path) -> None:
    answer = viewer_of(KnownSegmenter()).look(photo)
    labels = np.asarray(_open(answer["label_map"]))
    assert labels.shape == (60, 40)
    assert set(np.unique(labels)) == {0, 1}
    assert answer["shares"] == [(labels == 0).mean(), (labels == 1).mean()]


@pytest.mark.parametrize(("size", "shown"), [((3200, 100), (1600, 50)), ((1, 4000), (1, 1600))])
def test_large_pictures_are_shrunk_to_be_shown(
    tmp_path: Path, size: tuple[int, int], shown: tuple[int, int]
) -> None:
    path = tmp_path / "large.png"
    Image.new("RGB", size).save(path)
    answer = viewer_of(KnownSegmenter()).look(path)
    assert answer["size"] == [size[1], size[0]]
    assert _open(answer["picture"]).size == _open(answer["label_map"]).size == shown
    assert max(shown) == SHOWN_SIDE


def test_a_bad_picture_is_told_without_where_it_lies(tmp_path: Path) -> None:
    path = tmp_path / "picture"
    path.write_text("no picture")
    with pytest.raises(UserError, match=r"^not an image") as caught:
        viewer_of(KnownDetector()).look(path)
    assert str(tmp_path) not in str(caught.value)


def test_colours_are_those_that_results_are_drawn_in() -> None:
    detector, segmenter = (
        viewer_of(engine).describe() for engine in (KnownDetector(), KnownSegmenter())
    )
    assert [each["name"] for each in detector["classes"]] == list(DETECTED)
    assert [tuple(each["color"]) for each in detector["classes"]] == list(
        map(label_color, range(3))
    )
    assert [tuple(each["color"]) for each in segmenter["classes"]] == class_palette()[:2]
    assert [each["background"] for each in segmenter["classes"]] == [True, False]


def test_names_of_strangers_can_be_sent_and_shown() -> None:
    engine = KnownDetector()
    engine.manifest = manifest_of("detection", ("\ud800", "\u202eevil", "x" * 1000), {})
    model = Viewer(Predictor(engine, 1), "\udcff.onnx").describe()
    assert [each["name"] for each in model["classes"][:2]] == ["\\ud800", "\\u202eevil"]
    assert len(model["classes"][2]["name"]) == 60
    assert model["weights"] == "\\udcff.onnx"


@pytest.mark.parametrize("classes", [256, 257])
def test_classes_are_no_more_than_a_label_map_holds(classes: int) -> None:
    engine = KnownSegmenter()
    names = tuple(map(str, range(classes)))
    engine.manifest = manifest_of("segmentation", names, engine.manifest.decoding)
    if classes == 256:
        assert len(viewer_of(engine).describe()["classes"]) == classes
    else:
        with pytest.raises(UserError, match=r"^known\.onnx: names 257 classes, but label maps"):
            viewer_of(engine).describe()


def test_a_checkpoint(trained_run: Path, shapes_set: Path) -> None:
    predictor = load(trained_run / "checkpoints" / "best.ckpt", threads=1)
    viewer = Viewer(predictor, "best.ckpt")
    answer = viewer.look(next((shapes_set / "val2017").iterdir()))
    assert answer["size"] == [SIZE, SIZE]
    assert answer["engine"] == viewer.describe()["engine"]
    assert len(viewer.describe()["classes"]) == 10
    assert all(each["score"] >= LOWEST_SCORE for each in answer["boxes"])


def _open(encoded: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(encoded)))
