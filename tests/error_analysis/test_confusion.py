from typing import Any

import numpy as np
import pytest

from mnv2_dense.error_analysis import confusion_matrix
from tests.coco_evaluation.scenes import random_scene
from tests.error_analysis.cases import DOG, found, thing, truth_of


def test_rows_are_true_and_columns_predicted() -> None:
    truth = truth_of(thing(), thing(left=200), thing(DOG, image=2), thing(DOG, 2, left=200))
    results = [
        found(0.9),  # right
        found(0.8, DOG, left=200),  # a cat taken for a dog
        found(0.7, image=2, left=200),  # a dog taken for a cat
        found(0.6, DOG, left=500),  # nothing there
        found(0.5, percent=80),  # the cat is taken
        found(0.4, DOG, 2),  # below the threshold: not detected
    ]
    assert confusion_matrix(truth, results, 0.5).tolist() == [
        [1, 1, 0],
        [1, 0, 1],
        [1, 1, 0],
    ]
    assert confusion_matrix(truth, results, 0.4)[1].tolist() == [1, 1, 0]


def test_the_best_one_takes_the_object_whatever_its_class() -> None:
    results = [found(0.8), found(0.9, DOG, percent=60)]
    assert confusion_matrix(truth_of(thing()), results, 0.0).tolist() == [
        [0, 1, 0],
        [0, 0, 0],
        [1, 0, 0],
    ]


def test_the_object_of_the_highest_iou_is_taken() -> None:
    # IoU 0.54 with the dog, which is 30 to the left, 0.82 with the cat.
    truth = truth_of(thing(DOG, left=-30), thing(left=10))
    matrix = confusion_matrix(truth, [found(0.9)], 0.0)
    assert matrix.tolist() == [[1, 0, 0], [0, 0, 1], [0, 0, 0]]


def test_half_is_enough_and_less_is_not() -> None:
    truth = truth_of(thing())
    assert confusion_matrix(truth, [found(0.9, percent=50)], 0.0)[0].tolist() == [1, 0, 0]
    assert confusion_matrix(truth, [found(0.9, percent=49)], 0.0).tolist() == [
        [0, 0, 1],
        [0, 0, 0],
        [1, 0, 0],
    ]


def test_crowds_and_difficult_objects_are_in_no_row() -> None:
    truth = truth_of(thing(iscrowd=1), thing(DOG, image=2, difficult=1))
    own = [found(0.9, percent=20), found(0.8), found(0.7, DOG, 2)]
    assert not confusion_matrix(truth, own, 0.0).any()
    other = confusion_matrix(truth, [found(0.9, DOG), found(0.8, image=2)], 0.0)
    assert other.tolist() == [[0, 0, 0], [0, 0, 0], [1, 1, 0]]


@pytest.mark.parametrize("threshold", [-1.0, 0.5, 2.0])
def test_sums(threshold: float) -> None:
    """Rows sum to objects; columns to detections, of which some are passed over."""
    for seed in range(30):
        truth, results, *_ = random_scene(seed)
        matrix = confusion_matrix(truth, results, threshold)
        counts = ~(truth.crowds | truth.difficult)
        numbers = np.array(list(truth.categories))
        assert matrix[:-1].sum(axis=1).tolist() == [
            int((counts & (truth.labels == number)).sum()) for number in numbers
        ]
        kept = results.scores >= threshold
        sums, most = (
            matrix[:, :-1].sum(axis=0),
            [int((kept & (results.labels == number)).sum()) for number in numbers],
        )
        assert (sums <= most).all()
        if counts.all():
            assert sums.tolist() == most
        assert matrix[-1, -1] == 0


def test_nothing() -> None:
    nothing: dict[str, Any] = {"images": [], "categories": [], "annotations": []}
    assert confusion_matrix(nothing, [], 0.5).tolist() == [[0]]
    assert confusion_matrix(truth_of(), [], 0.5).tolist() == [[0] * 3] * 3


def test_some_images() -> None:
    truth = truth_of(thing(), thing(image=2))
    matrix = confusion_matrix(truth, [found(0.9), found(0.8, image=2)], 0.0, image_ids=[2])
    assert matrix.tolist() == [[1, 0, 0], [0, 0, 0], [0, 0, 0]]
