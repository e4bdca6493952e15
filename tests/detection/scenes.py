"""Small annotated scenes for the tests of scores."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed
import torch.multiprocessing

from mnv2_dense.structures import Category, Detections

CATEGORIES = (Category(3, "cat"), Category(7, "dog"))


def annotation(
    image_id: int, category_id: int, box: Sequence[float], **more: Any
) -> dict[str, Any]:
    fields = {"image_id": image_id, "category_id": category_id, "bbox": list(box)}
    return {**fields, "area": box[2] * box[3], "iscrowd": 0, **more}


def ground_truth(images: Sequence[int], annotations: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {
        "images": [{"id": image_id} for image_id in images],
        "categories": [{"id": c.category_id, "name": c.name} for c in CATEGORIES],
        "annotations": [{"id": n, **fields} for n, fields in enumerate(annotations, start=1)],
    }


def result(image_id: int, category_id: int, box: Sequence[float], score: float) -> dict[str, Any]:
    return {"image_id": image_id, "category_id": category_id, "bbox": list(box), "score": score}


def detections(*rows: tuple[float, float, float, float, float, int]) -> Detections:
    """From rows x1, y1, x2, y2, score, label."""
    boxes = torch.tensor([row[:4] for row in rows]).reshape(-1, 4)
    scores = torch.tensor([row[4] for row in rows])
    return Detections(boxes, scores, torch.tensor([row[5] for row in rows], dtype=torch.int64))


# Six images; image 5 and 6 hold nothing, 6 is given a false positive.
TRUTH = ground_truth(
    [1, 2, 3, 4, 5, 6],
    [
        annotation(1, 3, (10, 10, 40, 40)),
        annotation(1, 7, (60, 60, 20, 20)),
        annotation(2, 3, (0, 0, 100, 100)),
        annotation(3, 7, (5, 5, 50, 50), iscrowd=1),
        annotation(4, 7, (30, 30, 60, 60)),
    ],
)
FOUND = {
    1: detections((10, 10, 50, 50, 0.9, 0), (61, 61, 81, 81, 0.6, 1), (0, 0, 9, 9, 0.3, 0)),
    2: detections((0, 0, 90, 100, 0.8, 0)),
    3: detections((5, 5, 30, 30, 0.7, 1), (20, 20, 50, 50, 0.5, 1)),
    4: detections((0, 0, 20, 20, 0.95, 1), (32, 32, 88, 88, 0.4, 1)),
    5: detections(),
    6: detections((1, 1, 30, 30, 0.55, 0)),
}
