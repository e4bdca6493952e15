from typing import Any

import numpy as np
import pytest

from mnv2_dense.coco_evaluation import evaluate
from mnv2_dense.coco_evaluation.instances import ground_truth_of
from mnv2_dense.coco_evaluation.options import Options
from mnv2_dense.coco_evaluation.records import GroundTruth, Results, results_of
from mnv2_dense.reporting.outcomes import USUAL_THRESHOLD, f1_of, find_outcomes
from tests.coco_evaluation.scenes import random_scene

LEFT, RIGHT, FAR = [0, 0, 10, 10], [20, 0, 10, 10], [50, 50, 10, 10]


def truth(*objects: dict[str, Any]) -> GroundTruth:
    return ground_truth_of(
        {
            "images": [{"id": number} for number in (1, 2, 3)],
            "categories": [{"id": 5, "name": "cat"}, {"id": 9, "name": "dog"}],
            "annotations": [{"image_id": 1, "category_id": 5, **each} for each in objects],
        }
    )


def found(*detections: tuple[int, int, list[int], float]) -> Results:
    keys = ("image_id", "category_id", "bbox", "score")
    return results_of([dict(zip(keys, each, strict=True)) for each in detections])


def test_right_wrong_and_missed_by_picture() -> None:
    outcomes = find_outcomes(
        truth({"bbox": LEFT}, {"bbox": RIGHT}, {"bbox": FAR, "image_id": 3}),
        found(
            (1, 5, LEFT, 0.9),
            (1, 5, LEFT, 0.8),  # a second one on the same object
            (1, 9, RIGHT, 0.7),  # of another class
            (2, 5, LEFT, 0.6),  # where nothing is
            (1, 5, RIGHT, 0.2),
            (4, 5, LEFT, 0.9),  # an image, and a class, that the truth lacks
            (1, 7, LEFT, 0.9),
        ),
    )
    assert outcomes.by_picture(0.5) == {1: (1, 2, 1), 2: (0, 1, 0), 3: (0, 0, 1)}
    assert outcomes.by_picture(0.1) == {1: (2, 2, 0), 2: (0, 1, 0), 3: (0, 0, 1)}
    assert outcomes.total(0.5) == (1, 3, 2)
    assert outcomes.by_picture(0.95) == {1: (0, 0, 2), 3: (0, 0, 1)}


def test_the_threshold_has_the_highest_f1() -> None:
    outcomes = find_outcomes(
        truth({"bbox": LEFT}, {"bbox": RIGHT}),
        found((1, 5, LEFT, 0.9), (1, 5, RIGHT, 0.455), (1, 5, FAR, 0.305), (1, 9, FAR, 0.2)),
    )
    assert outcomes.choose_threshold() == 0.31  # two right, none wrong; the lowest of such
    assert outcomes.total(0.31) == (2, 0, 0)
    nothing = find_outcomes(truth(), found((1, 5, LEFT, 0.9)))
    assert nothing.choose_threshold() == USUAL_THRESHOLD
    assert find_outcomes(truth({"bbox": LEFT}), found()).choose_threshold() == USUAL_THRESHOLD


def test_crowds_and_difficult_objects_count_for_nothing() -> None:
    crowd = {"bbox": [0, 0, 30, 30], "iscrowd": 1}
    outcomes = find_outcomes(
        truth(crowd, {"bbox": FAR, "difficult": 1}),
        found((1, 5, LEFT, 0.9), (1, 5, RIGHT, 0.9), (1, 5, FAR, 0.9), (1, 9, FAR, 0.9)),
    )
    assert outcomes.by_picture(0.5) == {1: (0, 1, 0)}


@pytest.mark.parametrize("seed", range(30))
def test_recall_is_that_of_the_evaluator(seed: int) -> None:
    """What is right, over all objects to be found, is the class-wise recall at IoU 0.5."""
    scene = random_scene(seed)
    options = Options(iou_thresholds=(0.5,), max_detections=(1000,), area_ranges={"all": (0, 1e10)})
    measured = evaluate(scene.truth, scene.results, options=options)
    outcomes = find_outcomes(scene.truth, scene.results)
    counted = ~(scene.truth.crowds | scene.truth.difficult)
    recall = measured.recall[0, :, 0, 0]
    objects = [(scene.truth.labels[counted] == label).sum() for label in scene.truth.categories]
    expected = np.where(recall >= 0, recall, 0) @ np.array(objects)
    assert outcomes.total(-1.0)[0] == round(float(expected))
    assert len(outcomes.objects) == sum(objects)


def test_f1() -> None:
    assert f1_of(2, 1, 1) == pytest.approx(2 / 3)
    assert f1_of(0, 1, 0) == 0
    assert f1_of(0, 0, 0) is None
