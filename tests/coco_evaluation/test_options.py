from typing import Any

import numpy as np
import pytest
from pycocotools.cocoeval import Params

from mnv2_dense.coco_evaluation.options import Options
from mnv2_dense.errors import UserError


def test_defaults_are_those_of_pycocotools() -> None:
    ours, theirs = Options(), Params("bbox")
    assert ours.iou_thresholds == tuple(theirs.iouThrs)
    assert ours.recall_thresholds == tuple(theirs.recThrs)
    assert list(ours.max_detections) == theirs.maxDets
    assert list(ours.area_ranges) == theirs.areaRngLbl
    assert [list(ends) for ends in ours.area_ranges.values()] == theirs.areaRng
    assert not ours.class_blind


def test_numbers_of_detections_are_sorted() -> None:
    assert Options(max_detections=(100, 1, 10)).max_detections == (1, 10, 100)


def test_what_cannot_be_measured_is_refused() -> None:
    many = tuple(np.linspace(0, 1, 65).tolist())
    cases: list[tuple[dict[str, Any], str]] = [
        ({"iou_thresholds": ()}, "0 IoU thresholds; give 1 to 64"),
        ({"iou_thresholds": many}, "65 IoU thresholds"),
        ({"recall_thresholds": (0.5, 0.1)}, "must ascend"),
        ({"max_detections": ()}, "numbers of at least 1"),
        ({"max_detections": (0, 10)}, "numbers of at least 1"),
        ({"area_ranges": {"all": (0.0,)}}, "least and the largest"),
    ]
    for given, message in cases:
        with pytest.raises(UserError, match=message):
            Options(**given)
