"""What every task draws with: pictures side by side, and small ones enlarged."""

import math

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
"""RGB [H, W, 3]."""

GAP = 4
"""White pixels between two pictures that stand side by side."""

READABLE_SIDE = 320
"""Smaller pictures are enlarged to about this longer side, so that captions can be read."""

_WHITE = 255


def side_by_side(left: Picture, right: Picture) -> Picture:
    """Two pictures beside each other, at the top; white below the shorter one."""
    height = max(len(left), len(right))
    gap = np.full((height, GAP, 3), _WHITE, np.uint8)
    return np.concatenate([_extend(left, height), gap, _extend(right, height)], axis=1)


def enlarge(image: Picture) -> tuple[Picture, int]:
    """A small image [H, W, 3] with every pixel repeated, and how often in each direction."""
    factor = math.ceil(READABLE_SIDE / max(image.shape[:2]))
    return image.repeat(factor, axis=0).repeat(factor, axis=1), factor


def _extend(image: Picture, height: int) -> Picture:
    below = np.full((height - len(image), image.shape[1], 3), _WHITE, np.uint8)
    return np.concatenate([image, below])


def class_palette() -> list[tuple[int, int, int]]:
    """RGB colours of the 256 values of a label map, no two alike: 0 is black, 255 near white.

    The bits of a value go to the channels in turn, the lowest to the highest bits of the
    colour, so that small values differ most.

    Source: PASCAL VOC development kit, `VOCcode/VOClabelcolormap.m`.
    """
    return [(_channel(value), _channel(value >> 1), _channel(value >> 2)) for value in range(256)]


def _channel(bits: int) -> int:
    """Level whose bits, from the highest down, are every third bit of a number from the lowest."""
    return sum((bits >> 3 * k & 1) << (7 - k) for k in range(3))
