"""How TensorFlow 1 resized pictures."""

import numpy as np

from mnv2_dense.structures import ImageSize


def resize_legacy(image: np.ndarray, size: ImageSize) -> np.ndarray:
    """A picture [h, w, C] brought to [*size, C] by TensorFlow 1's rule, float32 and not rounded.

    Pixel `x` of the result shows place `x * w / size.width` of the picture, which lies by up to
    half a pixel up and left of where pixel centres would meet. Beyond the last pixel nothing
    is to be had, so the right and bottom ends repeat it.

    Source: ResizeBilinear of TensorFlow with align_corners and half_pixel_centers off; the same
    steps in the same precision.
    """
    (top, bottom, down), (left, right, across) = (
        _legacy_places(*sides) for sides in zip(image.shape[:2], size, strict=True)
    )
    rows = []
    for row in (top, bottom):
        first, second = (image[row[:, None], column].astype(np.float32) for column in (left, right))
        rows.append(first + (second - first) * across[:, None])
    return rows[0] + (rows[1] - rows[0]) * down[:, None, None]


def _legacy_places(source: int, wanted: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The two pixels that each of `wanted` pixels lies between, and the second one's share."""
    places = np.arange(wanted, dtype=np.float32) * (np.float32(source) / np.float32(wanted))
    lower = np.floor(places)
    first = lower.astype(np.int64)
    return first, np.minimum(first + 1, source - 1), places - lower
