"""Objects and detections as a detector makes them on COCO's validation pictures."""

from typing import Any, NamedTuple

import numpy as np

from mnv2_dense.coco_evaluation.columns import Ids, Numbers
from mnv2_dense.coco_evaluation.records import Results, records_of

TRUE = 0.6
"""Share of the detections that are noisy copies of objects."""
CROWDS = 0.012
"""Share of the objects that are crowds, as in COCO."""
_SIDE = (4.2, 0.9)
"""Mean and deviation of the logarithm of sides in pixels."""


class Counts(NamedTuple):
    """How much there is; COCO val2017 by default, and 100 detections per picture."""

    images: int = 5_000
    objects: int = 36_481
    detections: int = 500_000
    classes: int = 80


def draw_boxes(counts: Counts, seed: int = 0) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A COCO instances file's content, and COCO results; the same for the same seed."""
    random = np.random.default_rng(seed)
    rare = 1 / (np.arange(counts.classes) + 1.5)
    images = np.sort(random.integers(counts.images, size=counts.objects)) + 1
    labels = random.choice(counts.classes, counts.objects, p=rare / rare.sum()) + 1
    boxes = _draw(random, counts.objects).round(2)
    results = _detect(random, counts, Results(images, labels, boxes, np.ones(counts.objects)))
    crowds = (random.random(counts.objects) < CROWDS).astype(int).tolist()
    areas = (boxes[:, 2] * boxes[:, 3] * 0.7).tolist()
    objects = zip(images.tolist(), labels.tolist(), boxes.tolist(), areas, crowds, strict=True)
    keys = "image_id", "category_id", "bbox", "area", "iscrowd"
    truth = {
        "images": [{"id": image} for image in range(1, counts.images + 1)],
        "categories": [{"id": n, "name": f"class {n}"} for n in range(1, counts.classes + 1)],
        "annotations": [
            {"id": number, **dict(zip(keys, entry, strict=True))}
            for number, entry in enumerate(objects, start=1)
        ],
    }
    return truth, records_of(results)


def _draw(random: np.random.Generator, count: int) -> Numbers:
    sides = np.exp(random.normal(*_SIDE, (count, 2))).clip(4, 500)
    return np.concatenate([random.random((count, 2)) * (500, 350), sides], axis=1)


def _detect(random: np.random.Generator, counts: Counts, objects: Results) -> Results:
    """Noisy copies of objects and false ones; image by image, best first, of float32's numbers."""
    true = int(counts.detections * TRUE)
    false = counts.detections - true
    source = random.integers(counts.objects, size=true)
    near = objects.boxes[source]
    near += random.normal(0, 0.15, near.shape) * near[:, [2, 3, 2, 3]]
    near[:, 2:] = near[:, 2:].clip(1)
    others: Ids = random.integers(1, counts.images + 1, false)
    images = np.concatenate([objects.images[source], others])
    wrong = random.choice(objects.labels, false)
    scores = np.concatenate([random.beta(2, 3, true), random.beta(1, 6, false)])
    order = np.lexsort((-scores, images))
    boxes = np.concatenate([near, _draw(random, false)])
    return Results(
        images[order],
        np.concatenate([objects.labels[source], wrong])[order],
        boxes[order].astype(np.float32).astype(np.float64),
        scores[order].astype(np.float32).astype(np.float64),
    )
