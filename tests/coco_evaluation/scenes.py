"""Random scenes with all that makes matching difficult: ties, crowds, empty images and classes."""

from typing import NamedTuple

import numpy as np

from mnv2_dense.coco_evaluation.columns import Ids, Numbers
from mnv2_dense.coco_evaluation.options import Options
from mnv2_dense.coco_evaluation.records import GroundTruth, Results

AREAS = {
    "all": (0.0, 1e10),
    "small": (0.0, 400.0),
    "medium": (400.0, 2500.0),
    "large": (2500.0, 1e10),
}
"""Sizes that the boxes of `random_scene` are of, at their ends too."""
MAX_DETECTIONS = ((1, 10, 100), (2,), (3, 5), (1, 2, 4))


class Scene(NamedTuple):
    """What is measured against what, over which images, and how."""

    truth: GroundTruth
    results: Results
    image_ids: Ids
    options: Options


def random_scene(seed: int) -> Scene:
    """A few images and classes; coordinates and scores have few values, so that many are equal."""
    random = np.random.default_rng(seed)
    images = np.sort(random.choice(1000, random.integers(1, 6), replace=False))
    classes = np.sort(random.choice(100, random.integers(1, 5), replace=False))
    truth = _random_truth(random, images, classes)
    results = _random_results(random, truth, images, classes)
    part = images[: random.integers(1, len(images) + 1)] if random.random() < 0.3 else images
    return Scene(truth, results, part, _random_options(random))


def _random_truth(random: np.random.Generator, images: Ids, classes: Ids) -> GroundTruth:
    count = int(random.integers(0, 30))
    boxes = _random_boxes(random, count)
    return GroundTruth(
        image_ids=images,
        categories={number: f"class {number}" for number in classes.tolist()},
        images=random.choice(images, count),
        labels=random.choice(classes, count),
        boxes=boxes,
        areas=boxes[:, 2] * boxes[:, 3] * random.choice([1.0, 0.6], count),
        crowds=random.random(count) < 0.2,
        difficult=random.random(count) < 0.05,
    )


def _random_results(
    random: np.random.Generator, truth: GroundTruth, images: Ids, classes: Ids
) -> Results:
    false, true = int(random.integers(0, 30)), int(random.integers(0, 40))
    source = random.integers(0, len(truth.boxes), true if len(truth.boxes) else 0)
    near = truth.boxes[source]
    near += random.normal(0, 2, near.shape) * (random.random((len(near), 1)) < 0.6)
    boxes = np.concatenate([near.clip(0), _random_boxes(random, false)])
    order = random.permutation(len(boxes))
    # One class that the ground truth does not have.
    own, others = truth.labels[source], random.choice([*classes, 1000], false)
    return Results(
        np.concatenate([truth.images[source], random.choice(images, false)])[order],
        np.concatenate([own, others])[order],
        boxes[order],
        random.integers(0, 5, len(boxes)) / 5,
    )


def _random_boxes(random: np.random.Generator, count: int) -> Numbers:
    """Of whole tens or thirds, some without width or height."""
    corners, sides = random.integers(0, 6, (count, 2)), random.integers(0, 9, (count, 2))
    return np.concatenate([corners, sides], axis=1) * 10.0 / random.choice([1, 1, 3])


def _random_options(random: np.random.Generator) -> Options:
    usual = Options()
    few = sorted(random.choice([0.0, 0.1, 0.3, 0.5, 0.55, 0.75, 0.9, 1.0], 3, replace=False))
    ious = [usual.iou_thresholds, tuple(map(float, few)), tuple(np.linspace(0.1, 0.95, 30))]
    recalls = [usual.recall_thresholds, (0.0, 0.25, 0.3, 0.5, 0.9, 1.0), (0.1, 0.5, 0.6)]
    return Options(
        iou_thresholds=ious[random.choice(3, p=[0.6, 0.3, 0.1])],
        recall_thresholds=recalls[random.choice(3, p=[0.6, 0.2, 0.2])],
        max_detections=MAX_DETECTIONS[random.integers(4)],
        area_ranges=AREAS,
        class_blind=bool(random.random() < 0.3),
    )
