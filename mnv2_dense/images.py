"""Pictures from disk as RGB arrays, whatever their file format and colour mode."""

import math
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.ExifTags import Base
from PIL.ImageFile import ImageFile
from PIL.TiffImagePlugin import (
    PHOTOMETRIC_INTERPRETATION,
    PLANAR_CONFIGURATION,
    TiffImageFile,
)

from mnv2_dense.errors import UserError
from mnv2_dense.image_bounds import (
    MAX_READS,
    CountedFile,
    refuse_plain,
    refuse_scans,
    refuse_strips,
)
from mnv2_dense.jpeg import decode_plain
from mnv2_dense.structures import ImageSize

FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "PPM")
"""Decoders that are tried; JPEG covers MPO, which phones write under the name .jpg.

Others stay shut: some start programs (EPS starts Ghostscript).
"""

_MAX_16_BIT = 65535
LAST_UNSWAPPED = 4
"""EXIF orientations above it exchange height and width."""
_INVERSE = {6: 8, 8: 6}
"""What turns a picture back; the other EXIF orientations are their own inverses."""


def read_image(path: Path, *, upright: bool = False) -> np.ndarray:
    """An image file as uint8 RGB [H, W, 3].

    Gray, palette, 1-bit, CMYK and other colour modes are converted, transparent pictures are
    laid over white, 16 bits are scaled to 8 (gray is rounded, colours are cut to their high
    byte), and of an animation the first frame counts. Colour profiles are not applied.

    Args:
        path: The file.
        upright: Turn the picture as its EXIF orientation says, as viewers show it. By default
            the pixels come as they are stored: COCO's and VOC's boxes refer to those.

    Raises:
        UserError: The file is missing, no picture, damaged, or too large to be opened safely.
    """
    with open_image(path) as image:
        turned = isinstance(image, TiffImageFile)  # Pillow turns these when they are decoded
        before = orientation(image) if turned else 1
        pixels = decode_plain(image)
        pixels = to_rgb(image) if pixels is None else pixels
        if turned:
            return pixels if upright else _turn(pixels, _INVERSE.get(before, before))
        return _turn(pixels, orientation(image)) if upright else pixels


def image_size(path: Path, *, upright: bool = False) -> ImageSize:
    """Size of an image file as `read_image` gives it, from its header alone.

    Raises:
        UserError: The file is missing, no picture, or too large to be opened safely.
    """
    with open_image(path) as image:
        size = ImageSize(image.height, image.width)
        turned = isinstance(image, TiffImageFile)
        swapped = upright != turned and orientation(image) > LAST_UNSWAPPED
        return ImageSize(size.width, size.height) if swapped else size


@contextmanager
def open_image(path: Path) -> Iterator[ImageFile]:
    """An image file to be decoded inside the `with` block.

    Pictures of more than 178,956,970 pixels (twice Pillow's `MAX_IMAGE_PIXELS`) are refused by
    their headers, before anything is decoded. Texts in a PNG may take 1 MB unpacked each and 64 MB
    together (Pillow's `MAX_TEXT_CHUNK` and `MAX_TEXT_MEMORY`).

    Raises:
        UserError: The file cannot be opened, or the block raised: whatever a decoder raises on
            damaged data becomes a message that names the file.
    """
    try:
        # A pipe or device would be waited for, or never end.
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            cause = IsADirectoryError(str(path)) if stat.S_ISDIR(mode) else None
            raise UserError(f"{path}: no file but a folder, pipe or device") from cause
        # Pillow warns of odd EXIF data and of large but allowed pictures: neither is a mistake.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with CountedFile(path) as file:
                refuse_strips(file)
                with Image.open(file, formats=FORMATS) as image:
                    refuse_scans(file, image)
                    refuse_plain(file, image)
                    file.limit_reads(MAX_READS, math.inf)
                    yield image
    except UserError:
        raise
    except Exception as error:  # Decoders raise nearly anything on damaged data.
        raise UserError(_explain(path, error)) from error


def orientation(image: ImageFile) -> int:
    """The EXIF orientation, 1 to 8; 1 where there is none, or one that cannot be read."""
    try:
        tags = image.tag_v2 if isinstance(image, TiffImageFile) else image.getexif()
        found = tags.get(Base.Orientation)
    except Exception:  # As of damaged pixels; viewers show such pictures as they are stored.
        return 1
    return found if isinstance(found, int) and 1 <= found <= 8 else 1


def _turn(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Pixels [H, W, 3] upright, for the orientation that they are stored in."""
    if orientation > LAST_UNSWAPPED:
        pixels = pixels.swapaxes(0, 1)
    down = -1 if orientation in (3, 4, 7, 8) else 1
    across = -1 if orientation in (2, 3, 6, 7) else 1
    return np.ascontiguousarray(pixels[::down, ::across])


def to_rgb(image: Image.Image) -> np.ndarray:
    """The pixels of an opened picture as uint8 RGB [H, W, 3], converted as `read_image` does.

    Raises:
        ValueError: They have no fixed range, or Pillow misreads them.
    """
    _refuse_planes(image)
    converted = image
    if image.mode.startswith("I"):
        converted = _eight_bit(image)
    elif image.mode == "F":
        raise ValueError("floating-point pixels have no fixed range; save it with 8 or 16 bits")
    if converted.has_transparency_data:
        converted = _over_white(converted)
    # np.array copies: the decoder's own buffer is read-only.
    return np.array(converted.convert("RGB"))


def _refuse_planes(image: Image.Image) -> None:
    """Refuses 16-bit TIFFs that store one colour after the other: Pillow 13 misreads them."""
    if isinstance(image, TiffImageFile) and len(image.getbands()) > 1:
        apart = image.tag_v2.get(PLANAR_CONFIGURATION) == 2
        if apart and max(image.tag_v2.get(Base.BitsPerSample, (1,))) > 8:
            raise ValueError("16-bit colours in separate planes are not supported; save it as PNG")


def _eight_bit(image: Image.Image) -> Image.Image:
    """Scales 16-bit gray to 8 bits; Pillow's own conversion would clip nearly all to white."""
    values = np.asarray(image)
    if values.min() < 0 or values.max() > _MAX_16_BIT:
        raise ValueError("32-bit pixels have no fixed range; save it with 8 or 16 bits")
    wide = values.astype(np.uint32)  # in place below: these are the largest pictures
    wide *= 255
    wide += _MAX_16_BIT // 2
    wide //= _MAX_16_BIT
    scaled = wide.astype(np.uint8)
    if isinstance(image, TiffImageFile) and image.tag_v2.get(PHOTOMETRIC_INTERPRETATION) == 0:
        scaled = 255 - scaled  # "white is zero", which Pillow heeds in 8 bits only
    transparent = image.info.get("transparency")
    if transparent is not None:
        scaled[values == transparent] = 255
    return Image.fromarray(scaled)


def _over_white(image: Image.Image) -> Image.Image:
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)


def _explain(path: Path, error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return f"{path}: no such image file"
    if isinstance(error, Image.UnidentifiedImageError):
        return f"{path}: not an image, or of no supported format ({', '.join(FORMATS)})"
    if isinstance(error, Image.DecompressionBombError):
        return f"{path}: the image is too large to be opened safely ({error})"
    return f"{path}: the image cannot be read ({str(error) or type(error).__name__})"
