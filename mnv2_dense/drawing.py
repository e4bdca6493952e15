"""What every task draws with: pictures beside each other, of a size to look at, with a title.

And label maps in colour.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Picture = NDArray[np.uint8]
"""RGB [H, W, 3]."""

GAP = 4
"""White pixels between two pictures that stand side by side."""

READABLE_SIDE = 320
"""Smaller pictures are enlarged to about this longer side, so that captions can be read."""

SHEET_SIDES = (480, 640)
"""Where many pictures share a sheet, smaller ones are enlarged and larger ones shrunk."""

_WHITE = 255
_TITLE = 15  # pixels of a title's letters
_LONGEST_TITLE = 200  # letters
_STRIPE = 2  # pixels


def side_by_side(left: Picture, right: Picture) -> Picture:
    """Two pictures beside each other, at the top; white below the shorter one."""
    height = max(len(left), len(right))
    gap = np.full((height, GAP, 3), _WHITE, np.uint8)
    return np.concatenate([_extend(left, height), gap, _extend(right, height)], axis=1)


def enlarge(image: Picture, side: int = READABLE_SIDE) -> tuple[Picture, int]:
    """A small image [H, W, 3] with every pixel repeated, and how often in each direction.

    Its longer side becomes `side` pixels, or the next multiple of what it was.
    """
    factor = math.ceil(side / max(image.shape[:2]))
    return image.repeat(factor, axis=0).repeat(factor, axis=1), factor


def shrink(image: Picture, side: int) -> tuple[Picture, int]:
    """A large image [H, W, 3] with blocks of pixels averaged, and the side of a block.

    Its longer side becomes `side` pixels at most.
    """
    divisor = math.ceil(max(image.shape[:2]) / side)
    return np.array(Image.fromarray(image).reduce(divisor)), divisor


def hatch(image: Picture, where: NDArray[np.bool_]) -> Picture:
    """A copy of an image [H, W, 3] under black and white diagonal stripes at `where` [H, W]."""
    rows, columns = np.indices(where.shape, sparse=True)
    stripe = (rows + columns) // _STRIPE % 6
    drawn = image.copy()
    drawn[where & (stripe == 0)] = _WHITE
    drawn[where & (stripe == 1)] = 0
    return drawn


def add_title(image: Picture, text: str) -> Picture:
    """An image [H, W, 3] under a line of text, widened with white where the text is longer."""
    line = " ".join(text.split())
    if len(line) > _LONGEST_TITLE:
        line = f"{line[:_LONGEST_TITLE]}..."
    font = ImageFont.load_default(_TITLE)
    width = max(image.shape[1], math.ceil(font.getlength(line)) + 2 * GAP)
    title = Image.new("RGB", (width, 3 * _TITLE // 2), "white")
    ImageDraw.Draw(title).text((GAP, title.height // 2), line, "black", font, anchor="lm")
    return np.concatenate([np.array(title), _extend(image, len(image), width)])


def grid(pictures: Sequence[Picture]) -> Picture:
    """One or more pictures in rows, about as many rows as columns, in cells of one size."""
    columns = math.ceil(math.sqrt(len(pictures)))
    height = max(len(picture) for picture in pictures) + GAP
    width = max(picture.shape[1] for picture in pictures) + GAP
    sheet = np.full(
        (math.ceil(len(pictures) / columns) * height, columns * width, 3), _WHITE, np.uint8
    )
    for place, picture in enumerate(pictures):
        top, left = place // columns * height, place % columns * width
        sheet[top : top + len(picture), left : left + picture.shape[1]] = picture
    return sheet


def _extend(image: Picture, height: int, width: int | None = None) -> Picture:
    """The image at the top left of a white picture; without a width it keeps its own."""
    canvas = np.full((height, width or image.shape[1], 3), _WHITE, np.uint8)
    canvas[: len(image), : image.shape[1]] = image
    return canvas


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
