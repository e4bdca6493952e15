"""What every task draws with: pictures side by side, small ones enlarged, label maps in colour."""

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

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


def encode_label_map(label_map: NDArray[np.uint8]) -> Image.Image:
    """A palette picture whose pixel values are the labels [H, W] themselves, in VOC's colours."""
    picture = Image.fromarray(np.ascontiguousarray(label_map))
    # Turns the mode to "P" and leaves the values as they are.
    picture.putpalette([value for color in class_palette() for value in color])
    return picture


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
