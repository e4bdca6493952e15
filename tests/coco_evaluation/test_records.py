import math
from typing import Any

import numpy as np
import pytest

from mnv2_dense.coco_evaluation.records import (
    check_finite,
    records_of,
    results_from_arrays,
    results_of,
)
from mnv2_dense.errors import UserError

ENTRY = {"image_id": 9, "category_id": 7, "bbox": [1, 2.5, 3, 4], "score": 0.25}


def test_results_there_and_back() -> None:
    entries = [ENTRY, {**ENTRY, "score": 1, "segmentation": {"size": [1, 1]}, "image_id": 4.0}]
    results = results_of(iter(entries))
    assert results.images.tolist() == [9, 4]
    assert results.boxes.dtype == results.scores.dtype == np.float64
    assert records_of(results) == [ENTRY, {**ENTRY, "score": 1.0, "image_id": 4}]
    assert records_of(results_of([])) == []


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("image_id", "9"), ("image_id", 1.5), ("image_id", 2**63), ("image_id", math.nan)),
        *(("category_id", None), ("score", "0.5"), ("score", [1]), ("score", 10**400)),
        *(("bbox", [1, 2, 3]), ("bbox", [1, 2, 3, None]), ("bbox", None), ("bbox", "1234")),
    ],
)
def test_a_result_that_is_none_is_named(key: str, value: Any) -> None:
    with pytest.raises(UserError, match=f"at position 1 has no usable '{key}'"):
        results_of([ENTRY, {**ENTRY, key: value}, ENTRY])
    lacking = {name: given for name, given in ENTRY.items() if name != key}
    with pytest.raises(UserError, match=f"at position 1 has no usable '{key}'"):
        results_of([ENTRY, lacking])


def test_boxes_that_balance_each_other_are_refused() -> None:
    with pytest.raises(UserError, match="position 0"):
        results_of([{**ENTRY, "bbox": [1, 2, 3]}, {**ENTRY, "bbox": [1, 2, 3, 4, 5]}])


def test_corners_become_sides_without_rounding() -> None:
    corners = np.array([[0.1, 0.2, 639.9, 479.3]], dtype=np.float32)
    results = results_from_arrays([1], [2], corners, [0.3], layout="xyxy")
    left, top, right, bottom = corners[0].tolist()
    assert results.boxes.tolist() == [[left, top, right - left, bottom - top]]
    assert corners[0, 2] == np.float32(639.9)  # not changed in place


def test_columns_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="1 images, 2 labels, 1 boxes, 1 scores"):
        results_from_arrays([1], [2, 3], [[0, 0, 1, 1]], [0.5])


def test_ids_in_arrays_are_whole_numbers() -> None:
    results = results_from_arrays([4.0], np.array([7.0], np.float32), [[0, 0, 1, 1]], [0.5])
    assert (results.images.tolist(), results.labels.tolist()) == ([4], [7])
    assert results.images.dtype == results.labels.dtype == np.int64
    assert len(results_from_arrays([], [], [], []).images) == 0
    bads: list[Any] = [1.7, "1", math.inf, None]
    for bad in bads:
        with pytest.raises(UserError, match=f"^images: {bad!r} is no id; give whole numbers"):
            results_from_arrays([1, bad], [1, 1], [[0, 0, 1, 1]] * 2, [0.5, 0.5])
    with pytest.raises(UserError, match=r"^labels: 1\.5 is no id"):
        results_from_arrays([1], np.array([1.5]), [[0, 0, 1, 1]], [0.5])


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_is_not_finite_is_named(bad: float) -> None:
    for change in ({"bbox": [1, 2, bad, 4]}, {"score": bad}):
        with pytest.raises(UserError, match=r"in image 9 has box \[1\.0, 2\..* finite"):
            check_finite(results_of([ENTRY, {**ENTRY, **change}]))
