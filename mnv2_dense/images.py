"""Pictures from disk as RGB arrays, whatever their file format and colour mode."""

import os
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from PIL.ImageFile import ImageFile

from mnv2_dense.errors import UserError
from mnv2_dense.structures import ImageSize

FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "PPM")
"""Decoders that are tried; JPEG covers MPO, which phones write under the name .jpg.

Others stay shut: some start programs (EPS starts Ghostscript).
"""

SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".mpo", ".png", ".gif", ".webp"),
    *(".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm"),
)
"""File names, in lower case, that `find_images` takes for pictures."""

_MAX_16_BIT = 65535


def read_image(path: Path, *, upright: bool = False) -> np.ndarray:
    """An image file as uint8 RGB [H, W, 3].

    Gray, palette, 1-bit, CMYK and other colour modes are converted, transparent pictures are
    laid over white, 16-bit gray is scaled to 8 bits, and of an animation the first frame counts.

    Args:
        path: The file.
        upright: Turn the picture as its EXIF orientation says, as viewers show it. By default
            the pixels come as they are stored: COCO's and VOC's boxes refer to those.

    Raises:
        UserError: The file is missing, no picture, damaged, or too large to be opened safely.
    """
    with open_image(path) as image:
        return _rgb(ImageOps.exif_transpose(image) if upright else image)


def image_size(path: Path) -> ImageSize:
    """Size of an image file as its pixels are stored, from its header alone.

    Raises:
        UserError: The file is missing, no picture, or too large to be opened safely.
    """
    with open_image(path) as image:
        return ImageSize(image.height, image.width)


@contextmanager
def open_image(path: Path) -> Iterator[ImageFile]:
    """An image file to be decoded inside the `with` block.

    Raises:
        UserError: The file cannot be opened, or the block raised: whatever a decoder raises on
            damaged data becomes a message that names the file.
    """
    try:
        # Pillow warns of odd EXIF data and of large but allowed pictures: neither is a mistake.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path, formats=FORMATS) as image:
                yield image
    except UserError:
        raise
    except Exception as error:  # Decoders raise nearly anything on damaged data.
        raise UserError(_explain(path, error)) from error


def find_images(source: Path) -> list[Path]:
    """Paths of the pictures that `source` stands for, sorted.

    Args:
        source: A file, which is returned as it is, or a folder, which is searched at every depth
            for picture suffixes (hidden files are passed over).

    Raises:
        UserError: `source` does not exist, or is a folder without pictures.
    """
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise UserError(f"{source}: no such file or folder")
    found = (path for path in source.rglob("*") if path.suffix.lower() in SUFFIXES)
    images = sorted(path for path in found if not path.name.startswith(".") and path.is_file())
    if not images:
        raise UserError(f"{source}: no pictures in this folder (looked for {' '.join(SUFFIXES)})")
    return images


def list_files(folder: Path) -> set[str]:
    """Names of the files that lie directly in a folder; none if there is no such folder.

    Raises:
        UserError: The folder cannot be listed.
    """
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries if entry.is_file()}
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: NUL in the name.
        return set()
    except OSError as error:
        raise UserError(f"{folder}: the folder cannot be listed ({error})") from error


def missing_files(folder: Path, names: Sequence[str]) -> list[str]:
    """Those of the names below `folder`, with / between folders, that are no file there.

    One listing per folder, not one look-up per file.

    Raises:
        UserError: A folder cannot be listed.
    """
    parts = [name.rpartition("/") for name in names]
    present = {parent: list_files(folder / parent) for parent in {part[0] for part in parts}}
    return ["".join(part) for part in parts if part[2] not in present[part[0]]]


def leaves_folder(name: str) -> bool:
    """Whether a file's name from a list is absolute or has '..', on any system."""
    parts = re.split(r"[/\\]", name)
    return parts[0] == "" or ".." in parts or re.match(r"[A-Za-z]:", name) is not None


def _rgb(image: Image.Image) -> np.ndarray:
    if image.mode.startswith("I"):
        image = _eight_bit(image)
    elif image.mode == "F":
        raise ValueError("floating-point pixels have no fixed range; save it with 8 or 16 bits")
    if image.has_transparency_data:
        image = _over_white(image)
    # np.array copies: the decoder's own buffer is read-only.
    return np.array(image.convert("RGB"))


def _eight_bit(image: Image.Image) -> Image.Image:
    """Scales 16-bit gray to 8 bits; Pillow's own conversion would clip nearly all to white."""
    values = np.asarray(image).astype(np.int64)
    if values.min() < 0 or values.max() > _MAX_16_BIT:
        raise ValueError("32-bit pixels have no fixed range; save it with 8 or 16 bits")
    return Image.fromarray(((values * 255 + _MAX_16_BIT // 2) // _MAX_16_BIT).astype(np.uint8))


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
