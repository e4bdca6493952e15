"""How large the pictures of a cache are."""

from typing import Literal, NamedTuple

import cv2
import numpy as np

from mnv2_dense.structures import ImageSize


class Sizing(NamedTuple):
    """A bound on one side of every picture; none is enlarged, and the aspect is kept.

    Attributes:
        side: Which side is bound; `full` binds none.
        pixels: The most pixels of that side.
    """

    side: Literal["shorter", "longer", "full"]
    pixels: int = 0

    def fit(self, size: ImageSize) -> ImageSize:
        """The size of the copy of a picture, each side rounded by itself."""
        bound = min(size) if self.side == "shorter" else max(size)
        if self.side == "full" or bound <= self.pixels:
            return size
        height, width = (max(1, round(side * self.pixels / bound)) for side in size)
        return ImageSize(height, width)

    def __str__(self) -> str:
        return "full size" if self.side == "full" else f"{self.side} side at most {self.pixels}"


def shrink(image: np.ndarray, size: ImageSize) -> np.ndarray:
    """A picture [H, W, 3] made smaller, each pixel the mean of those that it covers."""
    if image.shape[:2] == size:
        return image
    return cv2.resize(image, (size.width, size.height), interpolation=cv2.INTER_AREA)


def enlarge(image: np.ndarray, size: ImageSize) -> np.ndarray:
    """A picture [H, W, 3] brought back to its original size, bilinearly."""
    if image.shape[:2] == size:
        return image
    return cv2.resize(image, (size.width, size.height), interpolation=cv2.INTER_LINEAR)


def resize_labels(label_map: np.ndarray, size: ImageSize) -> np.ndarray:
    """A label map [H, W] whose every pixel has the class under its centre.

    In whole numbers: OpenCV's nearest rules take a neighbour where a centre is near two pixels.
    """
    if label_map.shape == size:
        return label_map
    rows, columns = (
        (2 * np.arange(new) + 1) * old // (2 * new)
        for old, new in zip(label_map.shape, size, strict=True)
    )
    return label_map[rows][:, columns]


def enlarge_labels(label_map: np.ndarray, size: ImageSize) -> np.ndarray:
    """A label map [H, W] brought back to its original size, by the nearest pixels."""
    if label_map.shape == size:
        return label_map
    # As `resize_labels` but for centres on the border of two pixels; in a third of its time.
    places = (size.width, size.height)
    return cv2.resize(label_map, places, interpolation=cv2.INTER_NEAREST_EXACT)
