"""Plain JPEGs decoded by OpenCV: faster than by Pillow and pixel for pixel the same."""

import os
import struct

import cv2
import numpy as np
from PIL.ImageFile import ImageFile

MAX_BYTES = 64 << 20
"""Larger files are left to Pillow, which reads them in parts."""


def decode_plain(image: ImageFile) -> np.ndarray | None:
    """The pixels of a JPEG as uint8 RGB [H, W, 3], as stored; None where Pillow must decode it.

    Plain are gray and RGB pictures of one scan, with no marker in it, that end where the file
    ends. There libjpeg, which both use, meets none of the damages that Pillow refuses and OpenCV
    passes over: a file that breaks off, or markers that make no sense. Of broken codes both make
    the same pixels, and OpenCV a line on standard error.

    Args:
        image: Opened by Pillow, not yet decoded; its place in the file is not changed.
    """
    file, progressive = image.fp, "progressive" in image.info
    if file is None or image.format != "JPEG" or image.mode not in ("RGB", "L") or progressive:
        return None
    place, length = file.tell(), file.seek(0, os.SEEK_END)
    if length > MAX_BYTES:
        file.seek(place)
        return None
    file.seek(0)
    codes = np.frombuffer(file.read(length), np.uint8)
    file.seek(place)
    if not _is_plain(codes, place, len(image.getbands())):
        return None
    flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
    pixels = cv2.imdecode(codes, flags)
    fits = pixels is not None and pixels.shape == (image.height, image.width, 3)
    return pixels if fits else None


def _is_plain(codes: np.ndarray, place: int, bands: int) -> bool:
    """Whether one scan of all bands, whose head ends at `place`, goes up to the end."""
    head = struct.pack(">HHB", 0xFFDA, 6 + 2 * bands, bands)
    start = place - len(head) - 2 * bands - 3
    # In coded pixels 255 is followed by 0; all else is a marker, here the end alone.
    markers = place + np.flatnonzero(codes[place:-1] == 255)
    after = codes[markers + 1]
    ends = len(markers) > 0 and markers[-1] == len(codes) - 2 and after[-1] == 0xD9
    return bool(ends and not after[:-1].any()) and codes[start : start + 5].tobytes() == head
