"""Pictures of an evaluation: ground truth beside predictions."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torchvision.ops import box_convert

from mnv2_dense.commands.session import say
from mnv2_dense.detection.coco import CocoIndex
from mnv2_dense.detection.draw import Picture, draw_detections, draw_targets, side_by_side
from mnv2_dense.images import read_image
from mnv2_dense.structures import BoxTargets, Category, Detections

PICTURE_THRESHOLD = 0.3
"""Score from which a detection is drawn beside the ground truth."""

READABLE_SIDE = 320
"""Smaller pictures are enlarged to about this longer side, so that captions can be read."""


def write_pictures(
    results: Sequence[dict[str, Any]], index: CocoIndex, folder: Path, count: int
) -> None:
    """Writes the first `count` pictures of the set, ground truth left, COCO results right."""
    if count == 0:
        return
    folder.mkdir(parents=True, exist_ok=True)
    names = [category.name for category in index.categories]
    shown = min(count, len(index))
    for position in range(shown):
        image_id, path = index.image_id(position), index.path(position)
        found = _detections_of(results, image_id, index.categories)
        image, factor = enlarge(read_image(path))
        targets = index.targets(position)
        left = draw_targets(image, BoxTargets(targets.boxes * factor, targets.labels), names)
        enlarged = Detections(found.boxes * factor, found.scores, found.labels)
        right = draw_detections(image, enlarged, names, PICTURE_THRESHOLD)
        Image.fromarray(side_by_side(left, right)).save(folder / f"{image_id}.png")
    say(f"wrote {shown} pictures (ground truth left, predictions right) to {folder}")


def enlarge(image: Picture) -> tuple[Picture, int]:
    """A small image [H, W, 3] with every pixel repeated, and how often in each direction."""
    factor = math.ceil(READABLE_SIDE / max(image.shape[:2]))
    return image.repeat(factor, axis=0).repeat(factor, axis=1), factor


def _detections_of(
    results: Sequence[dict[str, Any]], image_id: int, categories: Sequence[Category]
) -> Detections:
    """The detections of one image out of COCO results."""
    labels = {category.category_id: label for label, category in enumerate(categories)}
    own = [result for result in results if result["image_id"] == image_id]
    boxes = torch.tensor([result["bbox"] for result in own]).reshape(-1, 4)
    return Detections(
        box_convert(boxes, "xywh", "xyxy"),
        torch.tensor([result["score"] for result in own]),
        torch.tensor([labels[result["category_id"]] for result in own], dtype=torch.int64),
    )
