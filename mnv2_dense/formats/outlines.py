"""The outlines of COCO's instances: polygons and run lengths, checked and drawn."""

import math
from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as mask_api

from mnv2_dense.structures import ImageSize

Polygons = list[list[float]]
"""Closed outlines of one instance, each x0, y0, x1, y1 and so on, in pixels."""
Runs = dict[str, list[int]]
"""`counts`: lengths of the runs without and with the instance, in turn, column by column."""
Outline = Polygons | Runs

MAX_CHARACTERS = 7
"""Of a compressed run length: 34 bits and the sign; pictures are far smaller."""
MAX_PIXELS = 178_956_970
"""Pixels of the largest picture that is opened (Pillow's own limit)."""


def parse_outline(value: Any, size: ImageSize) -> Outline | None:
    """The `segmentation` of an annotation in a form that can be drawn; None if it is malformed.

    Checked in full, for the drawing below is C code that trusts it: polygons of three points or
    more, not further outside the picture than it is large, and run lengths, compressed or not,
    that fill exactly the picture.

    Args:
        value: As in the file.
        size: Of the annotation's picture, as in the file.
    """
    if isinstance(value, list):
        return value if value and all(_is_polygon(each, size) for each in value) else None
    if not isinstance(value, dict) or value.get("size") != [size.height, size.width]:
        return None
    counts = value.get("counts")
    if isinstance(counts, str):
        found = _decompress(counts)
        counts = None if found is None else found.tolist()
    if not isinstance(counts, list) or any(type(count) is not int or count < 0 for count in counts):
        return None
    return {"counts": counts} if sum(counts) == size.height * size.width else None


def draw_outlines(outlines: Sequence[Outline], size: ImageSize) -> NDArray[np.bool_]:
    """The pixels of one instance or more [H, W], as pycocotools' `annToMask` has them.

    The array lies in memory column by column, as the run lengths do.
    """
    polygons = [each for outline in outlines if isinstance(outline, list) for each in outline]
    runs = [{"size": list(size), **outline} for outline in outlines if isinstance(outline, dict)]
    # Any: pycocotools is declared to take arrays of polygons alone.
    groups: list[Any] = [group for group in (polygons, runs) if group]
    encoded = [mask_api.frPyObjects(group, size.height, size.width) for group in groups]
    # Not pycocotools' decode: it stumbles over NumPy 2, with a warning for each mask.
    counts = _decompress(mask_api.merge([*chain(*encoded)])["counts"])
    assert counts is not None, "pycocotools wrote run lengths that are none"
    covered = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
    return covered.reshape(size.width, size.height).T


def _is_polygon(value: object, size: ImageSize) -> bool:
    if not isinstance(value, list) or len(value) < 6 or len(value) % 2:
        return False
    if not all(type(number) in (int, float) and math.isfinite(number) for number in value):
        return False
    across = all(-size.width <= x <= 2 * size.width for x in value[::2])
    return across and all(-size.height <= y <= 2 * size.height for y in value[1::2])


def _decompress(text: bytes | str) -> NDArray[np.int64] | None:
    """Run lengths out of COCO's text form; None if the text is cut or no such text.

    Six bits a character: five of the number from the lowest up, and whether it goes on; the
    highest of its last five is the sign. From the fourth on, numbers are differences to the last
    but one (cocoapi, maskApi.c, rleFrString).
    """
    coded = text.encode(errors="replace") if isinstance(text, str) else text
    codes = np.frombuffer(coded, dtype=np.uint8).astype(np.int64) - 48
    if not len(codes) or codes.min() < 0 or codes.max() > 63 or codes[-1] & 32:
        return None
    ends = np.flatnonzero(codes & 32 == 0)
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts + 1
    if lengths.max() > MAX_CHARACTERS:
        return None
    places = np.arange(len(codes)) - np.repeat(starts, lengths)
    numbers = np.add.reduceat((codes & 31) << 5 * places, starts)
    numbers -= np.where(codes[ends] & 16, 1 << 5 * lengths, 0)
    numbers[1::2] = numbers[1::2].cumsum()
    numbers[2::2] = numbers[2::2].cumsum()
    return numbers
