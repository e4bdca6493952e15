"""Which part of a picture, or of a canvas around it, SSD's augmentation shows.

Source: Liu et al., "SSD: Single Shot MultiBox Detector", section 2.2, data augmentation, and
section 3.6, the zoom-out.
"""

import random
from typing import NamedTuple

import numpy as np

from mnv2_dense.structures import ImageSize

MIN_IOUS = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9)
"""The crop's options for the least IoU with some box. Source: SSD, section 2.2 (0 is "any")."""

ASPECT_RATIOS = (0.5, 2.0)
"""Range of the crop's width / height. Source: SSD, section 2.2."""

CROP_TRIALS = 50
"""Crops drawn per option before another option is tried. Source: SSD's released sampler."""


class Window(NamedTuple):
    """A part of a picture or of a canvas around it, xyxy in whole pixels of the picture."""

    left: int
    top: int
    right: int
    bottom: int


def draw_canvas(size: ImageSize, max_ratio: float, generator: random.Random) -> Window:
    """A canvas with the picture at a random place of it.

    Args:
        size: Of the picture.
        max_ratio: The ratio of canvas side to picture side is uniform in [1, max_ratio].
        generator: Decides.
    """
    ratio = generator.uniform(1.0, max_ratio)
    height, width = int(size.height * ratio), int(size.width * ratio)
    top = generator.randint(0, height - size.height)
    left = generator.randint(0, width - size.width)
    return Window(-left, -top, width - left, height - top)


def draw_crop(
    canvas: Window,
    boxes: np.ndarray,
    min_iou: float,
    min_scale: float,
    generator: np.random.Generator,
) -> Window | None:
    """A crop that holds the centre of a box and overlaps it enough; None if no trial does.

    Args:
        canvas: What it is cut out of.
        boxes: float64 [N, 4], xyxy in pixels of the picture. Without any, all crops are good.
        min_iou: Least IoU of the crop with that box.
        min_scale: Sides of the crop are uniform in [min_scale, 1] of the canvas's.
        generator: Decides.
    """
    crops = _draw_trials(canvas, min_scale, generator)
    fitting = np.flatnonzero(_fits(crops, boxes, min_iou))
    return Window(*crops[fitting[0]].tolist()) if len(fitting) else None


def centres_inside(crops: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Whether the centre of box n lies in crop m, bool [M, N]."""
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    inside = (centres >= crops[:, None, :2]) & (centres < crops[:, None, 2:])
    return np.asarray(inside.all(axis=2))


def _draw_trials(canvas: Window, min_scale: float, generator: np.random.Generator) -> np.ndarray:
    """Crops of an allowed aspect ratio among `CROP_TRIALS` tries, int64 [M, 4] xyxy."""
    low, high = np.array(canvas).reshape(2, 2, 1)
    scales, shifts = generator.random((2, 2, CROP_TRIALS))
    scales = min_scale + (1.0 - min_scale) * scales
    sides = np.maximum(1, ((high - low) * scales).astype(np.int64))
    start = low + (shifts * (high - low - sides + 1)).astype(np.int64)
    ratio = sides[0] / sides[1]
    allowed = (ratio >= ASPECT_RATIOS[0]) & (ratio <= ASPECT_RATIOS[1])
    return np.concatenate([start, start + sides]).T[allowed]


def _fits(crops: np.ndarray, boxes: np.ndarray, min_iou: float) -> np.ndarray:
    """Which crops hold the centre of a box that they overlap enough; all if there is no box."""
    if not len(boxes):
        return np.ones(len(crops), dtype=bool)
    overlapping = _iou(crops, boxes) >= min_iou
    return np.asarray((centres_inside(crops, boxes) & overlapping).any(axis=1))


def _iou(crops: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """IoU of every crop with every box, [M, N]."""
    low = np.maximum(crops[:, None, :2], boxes[:, :2])
    high = np.minimum(crops[:, None, 2:], boxes[:, 2:])
    shared = (high - low).clip(min=0).prod(axis=2)
    crop_area = (crops[:, 2:] - crops[:, :2]).prod(axis=1)[:, None]
    return shared / (crop_area + (boxes[:, 2:] - boxes[:, :2]).prod(axis=1) - shared)
