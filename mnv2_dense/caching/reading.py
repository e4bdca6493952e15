"""Pictures of a cache, read in three quarters of the time that a stranger's take."""

import struct
from pathlib import Path

import cv2
import numpy as np

from mnv2_dense.small_files import read_start
from mnv2_dense.structures import ImageSize

MAX_BYTES = 64 << 20
_FRAME = 158
"""Where Pillow writes the frame of a JPEG in colour: behind JFIF's mark and two tables."""
_END = b"\xff\xd9"


def read_plain(path: Path, size: ImageSize) -> np.ndarray | None:
    """A JPEG as `encode_picture` writes it, uint8 RGB [H, W, 3]; None for any other file.

    Its size stands where it is expected and its end is there, so that nothing else is to be looked
    at before it is decoded. The pixels are those of `read_image`.

    Args:
        path: The file.
        size: That it must have.
    """
    try:
        codes = read_start(path, MAX_BYTES)
    except OSError:
        return None
    frame = struct.pack(">HHBHH", 0xFFC0, 17, 8, *size)
    if codes[_FRAME : _FRAME + len(frame)] != frame or not codes.endswith(_END):
        return None
    flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
    return cv2.imdecode(np.frombuffer(codes, np.uint8), flags)
