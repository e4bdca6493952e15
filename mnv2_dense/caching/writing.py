"""The files of a cache, each there as a whole or not at all."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from mnv2_dense.drawing import encode_label_map
from mnv2_dense.images import open_image

KEEP = 100
"""Quality that keeps the bytes of pictures that are small enough."""
_JPEG = ".jpg"
_SUFFIXES = {
    **{"JPEG": _JPEG, "MPO": _JPEG, "PNG": ".png", "GIF": ".gif", "WEBP": ".webp"},
    **{"BMP": ".bmp", "TIFF": ".tif", "PPM": ".ppm"},
}
"""By format: a copy must be found as a picture, whatever its original is called."""


def write_file(path: Path, content: bytes) -> None:
    """Writes a file beside its place and renames it; its folder is made.

    It is not flushed to the disk: what a lost machine left short is seen by its size, and written
    again.
    """
    part = path.with_name(f".{path.name}.part")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        part.write_bytes(content)
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def encode_picture(
    image: np.ndarray, source: Path, quality: int, *, resized: bool
) -> tuple[bytes, str]:
    """The bytes of a cached picture, and the extension of its format.

    One that was resized is a JPEG (4:2:0). One that was small enough is compressed anew, too,
    unless that makes a JPEG no smaller; at quality `KEEP` its file is copied byte for byte.

    Args:
        image: uint8 RGB [H, W, 3], as it is to be stored.
        source: Its original.
        quality: Of the JPEG, 1 to 100.
        resized: Whether it was.
    """
    if not resized and quality == KEEP:
        return source.read_bytes(), _suffix_of(source)
    packed = io.BytesIO()
    Image.fromarray(image).save(packed, "JPEG", quality=quality, subsampling="4:2:0")
    if (
        not resized
        and len(packed.getvalue()) >= source.stat().st_size
        and _suffix_of(source) == _JPEG
    ):
        return source.read_bytes(), _JPEG
    return packed.getvalue(), _JPEG


def encode_labels(label_map: np.ndarray) -> bytes:
    """A label map as a palette PNG, lossless."""
    packed = io.BytesIO()
    encode_label_map(label_map).save(packed, "PNG")
    return packed.getvalue()


def _suffix_of(path: Path) -> str:
    with open_image(path) as image:
        return _SUFFIXES[image.format or ""]
