import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools.mask import decode

from mnv2_dense.coco_evaluation.records import records_of
from mnv2_dense.detection.scoring import coco_results
from mnv2_dense.errors import UserError
from mnv2_dense.prediction.results import DetectionResult, Result, SegmentationResult, Times
from mnv2_dense.structures import Detections, ImageSize
from tests.prediction.networks import CATEGORIES

SIZE = ImageSize(60, 80)
PICTURE = np.full((*SIZE, 3), 128, np.uint8)
BOXES = np.array([[10.1, 20.2, 50.3, 50.7], [0, 0, 80, 60]], np.float32)
LABEL_MAP = np.repeat(np.array([0, 2, 2], np.uint8), 20)[:, None].repeat(80, axis=1)


def boxes(picture: np.ndarray | None = PICTURE, source: str = "picture") -> DetectionResult:
    return DetectionResult(
        source=source,
        size=SIZE,
        categories=CATEGORIES,
        engine="by hand",
        times=Times(),
        picture=picture,
        boxes=BOXES,
        scores=np.array([0.9, 0.1], np.float32),
        labels=np.array([1, 2]),
    )


def labels() -> SegmentationResult:
    return SegmentationResult(
        source="picture",
        size=SIZE,
        categories=CATEGORIES,
        engine="by hand",
        times=Times(),
        picture=PICTURE,
        label_map=LABEL_MAP,
    )


def test_boxes_to_coco_are_those_of_the_evaluation() -> None:
    result = boxes()
    found = Detections(*map(torch.from_numpy, (result.boxes, result.scores, result.labels)))
    records = result.to_coco(5)
    assert records == records_of(coco_results([5], [found], CATEGORIES))
    assert json.loads(json.dumps(records)) == records
    assert [record["category_id"] for record in records] == [7, 9]


# pycocotools 2.0.10's decode, of which only this test makes use.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_a_label_map_to_coco_is_a_mask_per_class() -> None:
    records = labels().to_coco(5)
    assert json.loads(json.dumps(records)) == records
    assert [record["category_id"] for record in records] == [3, 9]
    for record, label in zip(records, (0, 2), strict=True):
        mask: Any = decode(record["segmentation"])
        assert np.array_equal(mask, label == LABEL_MAP)
    assert labels().shares == {"blue": pytest.approx(2 / 3), "red": pytest.approx(1 / 3)}


@pytest.mark.parametrize("result", [boxes(), labels()], ids=["boxes", "labels"])
def test_a_result_is_drawn_and_saved(result: Result, tmp_path: Path) -> None:
    drawn = result.draw(legend=False)
    assert drawn.shape == PICTURE.shape
    assert (drawn != PICTURE).any()
    assert (PICTURE == 128).all()
    for name in ("a.png", "a.JPG"):
        result.save(tmp_path / name)
        result.save(str(tmp_path / name))  # replaced
        with Image.open(tmp_path / name) as saved:
            assert saved.size == result.draw().shape[1::-1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.JPG", "a.png"]
    for name in ("a", "a.txt"):
        with pytest.raises(UserError, match=r"(has no suffix|\.txt is of no picture format); the"):
            result.save(tmp_path / name)
    with pytest.raises(UserError, match=r"there is no folder .*none; make it first"):
        result.save(tmp_path / "none" / "a.png")


def test_a_label_map_is_saved_as_it_is(tmp_path: Path) -> None:
    labels().save_label_map(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as saved:
        assert np.array_equal(np.asarray(saved), LABEL_MAP)
    with pytest.raises(UserError, match=r"written as \.png"):
        labels().save_label_map(tmp_path / "a.jpg")


def test_a_file_is_read_again_to_be_drawn_on(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(PICTURE).save(path)
    result = boxes(None, str(path))
    assert np.array_equal(result.draw(), boxes().draw())
    Image.fromarray(PICTURE[:50]).save(path)
    with pytest.raises(UserError, match="has changed since"):
        result.draw()
    path.unlink()
    with pytest.raises(UserError, match="no such image file"):
        result.draw()
