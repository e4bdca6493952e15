"""Boxes drawn on pictures, for people to look at."""

import colorsys
from collections.abc import Sequence

import torch
from torchvision.utils import draw_bounding_boxes

from mnv2_dense.drawing import Picture
from mnv2_dense.structures import BoxTargets, Detections

GOLDEN_RATIO = 0.618034


def draw_detections(
    image: Picture,
    detections: Detections,
    names: Sequence[str],
    score_threshold: float = 0.0,
) -> Picture:
    """A copy of image [H, W, 3] with the boxes that reach the threshold, named and scored."""
    kept = detections.scores >= score_threshold
    labels = detections.labels[kept].tolist()
    scores = detections.scores[kept].tolist()
    captions = [f"{names[label]} {score:.2f}" for label, score in zip(labels, scores, strict=True)]
    return _draw(image, detections.boxes[kept], labels, captions)


def draw_targets(image: Picture, targets: BoxTargets, names: Sequence[str]) -> Picture:
    """A copy of image [H, W, 3] with the ground truth boxes, named."""
    labels = targets.labels.tolist()
    return _draw(image, targets.boxes, labels, [names[label] for label in labels])


def label_color(label: int) -> tuple[int, int, int]:
    """A bright colour per class; neighbours in the list differ."""
    red, green, blue = colorsys.hsv_to_rgb(label * GOLDEN_RATIO % 1, 0.85, 1.0)
    return round(red * 255), round(green * 255), round(blue * 255)


def _draw(
    image: Picture, boxes: torch.Tensor, labels: Sequence[int], captions: Sequence[str]
) -> Picture:
    if not labels:
        return image.copy()
    canvas = torch.from_numpy(image.copy()).permute(2, 0, 1)
    line = max(1, round(max(image.shape[:2]) / 320))
    drawn = draw_bounding_boxes(
        canvas,
        boxes.cpu(),
        labels=list(captions),
        colors=[label_color(label) for label in labels],
        label_colors=["black"] * len(labels),
        fill_labels=True,
        width=line,
    )
    return drawn.permute(1, 2, 0).contiguous().numpy()
