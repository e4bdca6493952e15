from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask

from mnv2_dense.coco_evaluation import overlaps
from mnv2_dense.coco_evaluation.overlaps import find_candidates


@settings(deadline=None)
@given(seed=st.integers(0, 2**32 - 1), pairs=st.sampled_from([1, 5, 1 << 17]))
def test_candidates_are_those_of_pycocotools(seed: int, pairs: int) -> None:
    random = np.random.default_rng(seed)
    sizes = random.integers(0, 9, 2)
    groups, object_groups = (np.sort(random.integers(0, 3, int(size))) for size in sizes)
    boxes, object_boxes = (random.integers(0, 5, (int(size), 4)).astype(float) for size in sizes)
    crowds = random.random(len(object_boxes)) < 0.3
    with patch.object(overlaps, "PAIRS", pairs):
        found = find_candidates((groups, boxes), (object_groups, object_boxes), crowds, 0.25)
    expected: list[tuple[int, int, float]] = []
    for one in range(len(boxes)):
        same = np.flatnonzero(object_groups == groups[one])
        alone: Any = boxes[one : one + 1]
        others: Any = object_boxes[same]
        ious = mask.iou(alone, others, crowds[same].astype(int).tolist())
        rows = zip(np.reshape(ious, -1).tolist(), same.tolist(), strict=True)
        best = sorted((row for row in rows if row[0] >= 0.25), reverse=True)
        expected += [(one, other, iou) for iou, other in best]
    assert list(zip(*(column.tolist() for column in found), strict=True)) == expected


def test_least_iou_is_enough() -> None:
    half = np.array([[0.0, 0, 10, 10]]), np.array([[0.0, 0, 10, 5]])
    one, other = ((np.zeros(1, dtype=np.int64), boxes) for boxes in half)
    for least, count in ((0.5, 1), (0.5000001, 0)):
        found = find_candidates(one, other, np.zeros(1, dtype=np.bool_), least)
        assert len(found.ious) == count
    crowd = find_candidates(one, other, np.ones(1, dtype=np.bool_), 0.0)
    assert crowd.ious.tolist() == [pytest.approx(0.5)]  # over the detection's area
    within = find_candidates(other, one, np.ones(1, dtype=np.bool_), 0.0)
    assert within.ious.tolist() == [pytest.approx(1)]
