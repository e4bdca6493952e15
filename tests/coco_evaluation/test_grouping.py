import numpy as np

from mnv2_dense.coco_evaluation.grouping import group_found, group_objects, positions_in
from mnv2_dense.coco_evaluation.records import GroundTruth, Results

IMAGES, LABELS = np.array([20, 10, 10, 30, 10]), np.array([7, 7, 3, 3, 5])
BOXES = np.array([[0, 0, 1, width] for width in (1.0, 2, 3, 4, 5)])
# The last object is of a class that is not listed.
TRUTH = GroundTruth(
    np.array([10, 20, 30]),
    {3: "cat", 7: "dog"},
    *(IMAGES, LABELS, BOXES, np.array([1.0, 2, 3, 4, 5])),
    *(np.array([False, True, False, False, False]), np.array([True, False, False, False, False])),
)
RESULTS = Results(IMAGES, LABELS, BOXES, np.array([0.1, 0.2, 0.3, 0.4, 0.5]))


def test_positions_of_ids() -> None:
    assert positions_in(np.array([3, 7, 9]), np.array([9, 4, 3, 99])).tolist() == [2, -1, 0, -1]
    assert positions_in(np.zeros(0, dtype=np.int64), np.array([9])).tolist() == [-1]


def test_objects_by_image_then_class() -> None:
    objects = group_objects(TRUTH, np.array([10, 20]), class_blind=False)
    assert objects.areas.tolist() == [3, 2, 1]
    assert objects.labels.tolist() == [0, 1, 1]
    assert objects.groups.tolist() == [0, 1, 3]
    assert objects.crowds.tolist() == [False, True, False]
    assert objects.left_out.tolist() == [False, True, True]


def test_objects_of_all_classes_together_stand_class_by_class() -> None:
    objects = group_objects(TRUTH, np.array([10, 20]), class_blind=True)
    assert objects.areas.tolist() == [3, 2, 1]
    assert objects.labels.tolist() == [0, 0, 0]
    assert len(set(objects.groups.tolist())) == 2


def test_detections_in_both_orders() -> None:
    found = group_found(RESULTS, TRUTH, np.array([10, 20, 30]), 100, class_blind=False)
    assert found.boxes[:, 3].tolist() == [3, 2, 1, 4]
    assert found.groups.tolist() == [0, 1, 3, 4]
    assert found.labels.tolist() == [0, 0, 1, 1]
    assert found.areas.tolist() == [4, 3, 2, 1]  # class by class, best first
    assert found.places.tolist() == [1, 2, 3, 0]
    assert found.ranks.tolist() == [0, 0, 0, 0]


def test_the_best_detections_of_a_group_stay() -> None:
    found = group_found(RESULTS, TRUTH, np.array([10]), 1, class_blind=True)
    assert found.areas.tolist() == [3]
    both = group_found(RESULTS, TRUTH, np.array([10]), 2, class_blind=True)
    assert both.areas.tolist() == [3, 2]
    assert both.ranks.tolist() == [0, 1]
