import copy
import math
import pickle
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
from pycocotools.cocoeval import Params

from mnv2_dense.coco_evaluation.options import Options
from mnv2_dense.errors import UserError

BAD = (math.nan, math.inf, -0.1, 1.1)


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
        ({"iou_thresholds": 0.5}, "iou_thresholds is 0.5; give a list of numbers"),
        ({"recall_thresholds": "0.5"}, "recall_thresholds is '0.5'; give a list"),
        ({"max_detections": None}, "max_detections is None; give a list"),
        ({"area_ranges": [(0, 1)]}, r"area_ranges is \[\(0, 1\)\]; give ranges by name"),
        ({"area_ranges": {"all": 5}}, "5 for 'all'"),
        ({"iou_thresholds": ()}, "0 IoU thresholds; give 1 to 64"),
        ({"iou_thresholds": many}, "65 IoU thresholds"),
        *(({"iou_thresholds": (0.5, bad)}, f"iou_thresholds has {bad}; .* 0 to 1") for bad in BAD),
        ({"iou_thresholds": ("0.5",)}, "iou_thresholds has '0.5'"),
        ({"recall_thresholds": ()}, "0 recall thresholds"),
        *(({"recall_thresholds": (bad,)}, f"recall_thresholds has {bad};") for bad in BAD),
        ({"recall_thresholds": (0.5, 0.1)}, r"must ascend, unlike \(0.5, 0.1\)"),
        ({"max_detections": ()}, "numbers of at least 1"),
        ({"max_detections": (0, 10)}, "numbers of at least 1"),
        ({"max_detections": (1.5,)}, r"max_detections \(1.5,\): give whole numbers"),
        ({"max_detections": ("1",)}, "whole numbers"),
        ({"area_ranges": {}}, "area_ranges is empty"),
        ({"area_ranges": {"all": (0.0,)}}, "least and the largest"),
        ({"area_ranges": {"all": "01"}}, "'01' for 'all'"),
        ({"area_ranges": {"all": (9, 1)}}, r"\(9, 1\) for 'all'"),
        ({"area_ranges": {"all": (0, math.nan)}}, "nan"),
    ]
    for given, message in cases:
        with pytest.raises(UserError, match=message):
            Options(**given)


def test_ends_of_what_is_allowed() -> None:
    area = {"all": (0, math.inf), "none": (4, 4)}
    numpys: dict[str, Any] = {
        "iou_thresholds": tuple(np.array([1.0, 0.0])),
        "max_detections": (np.int64(1),),
    }
    options = Options(recall_thresholds=(0, 0.5, 0.5, 1), area_ranges=area, **numpys)
    assert options.iou_thresholds == (1, 0)
    assert options.area_ranges == area


def test_options_are_copied_and_pickled() -> None:
    options = Options(iou_thresholds=(0.5,), area_ranges={"all": (0, 9)})
    for given in (Options(), options):
        assert copy.deepcopy(given) == pickle.loads(pickle.dumps(given)) == given
        assert Options(**asdict(given)) == given


def test_what_was_given_may_change_later() -> None:
    area: dict[str, tuple[float, float]] = {"all": (0, 9)}
    options = Options(area_ranges=area)
    area.clear()
    assert options.area_ranges == {"all": (0, 9)}
