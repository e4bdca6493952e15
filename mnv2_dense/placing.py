"""A part of a picture, scaled, in its place on a canvas: crop, zoom and resize in one step.

The cost depends on the part and the canvas alone: neither the scaled picture nor a canvas around
the whole picture is made.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from mnv2_dense.structures import ImageSize

Resize = Callable[[np.ndarray, ImageSize], np.ndarray]


class Span(NamedTuple):
    """Which pixels of a picture fill which of the canvas, along one axis; whole pixels of both.

    Attributes:
        source_start: First pixel of the picture that is seen.
        source_stop: The pixel after the last; equal where none is seen.
        start: First pixel of the canvas that shows it.
        stop: The pixel after the last.
    """

    source_start: int
    source_stop: int
    start: int
    stop: int

    @property
    def scale(self) -> float:
        """Pixels of the canvas per pixel of the picture; 0 where none is seen."""
        seen = self.source_stop - self.source_start
        return (self.stop - self.start) / seen if seen else 0.0

    def project(self, places: np.ndarray) -> np.ndarray:
        """Places in the picture as places on the canvas, which may lie outside of it."""
        return (places - self.source_start) * self.scale + self.start


def look(start: int, stop: int, side: int, length: int) -> Span:
    """A canvas of `length` pixels that shows the pixels from `start` to `stop` of a picture.

    Args:
        start: May lie before the picture.
        stop: May lie behind it.
        side: Pixels of the picture.
        length: Pixels of the canvas.
    """
    first, last = max(0, start), min(side, stop)
    if last <= first:
        return Span(0, 0, 0, 0)
    scale = length / (stop - start)
    begin = min(round((first - start) * scale), length - 1)
    return Span(first, last, begin, max(begin + 1, round((last - start) * scale)))


def place(
    canvas: np.ndarray, picture: np.ndarray, rows: Span, columns: Span, resize: Resize
) -> np.ndarray:
    """A copy of the canvas with the part of the picture on it.

    Args:
        canvas: What is seen beside the picture, [H, W] or [H, W, C].
        picture: Of the same type.
        rows: Along the height.
        columns: Along the width.
        resize: Brings the part to the size that it has on the canvas.
    """
    size = ImageSize(rows.stop - rows.start, columns.stop - columns.start)
    if not all(size):
        return canvas.copy()
    part = picture[rows.source_start : rows.source_stop, columns.source_start : columns.source_stop]
    resized = resize(part, size)
    if size == canvas.shape[:2]:
        return resized
    placed = canvas.copy()
    placed[rows.start : rows.stop, columns.start : columns.stop] = resized
    return placed
