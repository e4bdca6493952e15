"""Pictures of any size made ready for a network of one input size, whichever engine runs it."""

from collections.abc import Sequence
from typing import Literal

import cv2
import numpy as np
from PIL import Image

from mnv2_dense.drawing import Picture
from mnv2_dense.ops.legacy_resize import resize_legacy
from mnv2_dense.prediction.manifest import Manifest
from mnv2_dense.structures import ImageSize


def prepare_picture(picture: Picture, manifest: Manifest) -> Picture:
    """A picture as a network is shown it: resized for a detector, padded for a segmenter."""
    size = manifest.input_size
    if manifest.task == "detection":
        return resize_picture(picture, size, manifest.resize)
    return pad_picture(shrink_to_fit(picture, size), size, manifest.mean)


def resize_picture(
    picture: Picture, size: ImageSize, rule: Literal["bilinear", "legacy_bilinear"]
) -> Picture:
    """A picture [H, W, 3] brought to a size, its aspect not kept: what a detector looks at.

    Args:
        picture: uint8 RGB.
        size: Of the network's input.
        rule: OpenCV's bilinear, or that of TensorFlow 1, rounded; see `resize_legacy`.
    """
    if rule == "legacy_bilinear":
        return np.rint(resize_legacy(picture, size)).astype(np.uint8)
    resized = cv2.resize(picture, (size.width, size.height), interpolation=cv2.INTER_LINEAR)
    return resized.astype(np.uint8, copy=False)


def pad_picture(picture: Picture, size: ImageSize, mean: Sequence[float]) -> Picture:
    """A picture at the top left of one of `size`, over the rounded mean colour.

    Args:
        picture: Not larger than `size`.
        size: Of the network's input.
        mean: RGB, 0-255.
    """
    height, width = picture.shape[:2]
    if (height, width) == size:
        return picture
    padded = np.empty((*size, 3), np.uint8)
    padded[:height, :width] = picture
    padded[height:] = padded[:height, width:] = np.rint(mean)
    return padded


def shrink_picture(picture: Picture, size: ImageSize) -> Picture:
    """A picture larger than `size`, scaled down to fit into it with its aspect kept."""
    height, width = picture.shape[:2]
    factor = min(size.height / height, size.width / width)
    shrunken = (max(1, round(width * factor)), max(1, round(height * factor)))
    return np.array(Image.fromarray(picture).resize(shrunken, Image.Resampling.BILINEAR))


def shrink_to_fit(picture: Picture, size: ImageSize) -> Picture:
    """The picture itself if it is not larger than `size`, else scaled down."""
    return picture if fits(picture, size) else shrink_picture(picture, size)


def fits(picture: Picture, size: ImageSize) -> bool:
    """Whether a picture is not larger than `size`."""
    return picture.shape[0] <= size.height and picture.shape[1] <= size.width


def window_starts(length: int, window: int, overlap: float) -> list[int]:
    """First pixels of overlapping windows over `length` pixels; the last one ends with them.

    Args:
        length: Of the picture's side.
        window: Pixels of a window.
        overlap: Share of a window that its neighbours see too, at least.
    """
    step = max(1, int(window * (1 - overlap)))
    last = max(0, length - window)
    return [*range(0, last, step), last]
