"""Masks from disk as label maps, whatever their file format."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL.ImageFile import ImageFile

from mnv2_dense.errors import UserError
from mnv2_dense.images import open_image
from mnv2_dense.ops.texts import list_first
from mnv2_dense.structures import IGNORE_INDEX, ImageSize

Color = tuple[int, int, int]

EXACT_FORMATS = ("PNG", "TIFF", "BMP")
"""Formats of masks. JPEG and WebP blur values, GIF renumbers palettes, PGM stretches values."""

_GRAY_STEPS = {"L;2": 85, "L;4": 17}
"""Pillow stretches gray of 2 and 4 bits over 0-255: what it multiplies the values with."""


class MaskRule(NamedTuple):
    """How the masks of a data set say which class a pixel has.

    Attributes:
        num_classes: Classes have the values 0 to num_classes - 1.
        ignore_index: Value of void in the files.
        colors: RGB colour of every class: masks are then read as coloured pictures, palette and
            gray ones too. None reads indices and refuses colours.
        ignore_color: RGB colour of void in such masks.
        labels: Class of every value from 0 up, `IGNORE_INDEX` for void, where values are not yet
            classes (Cityscapes' label ids).
    """

    num_classes: int
    ignore_index: int = IGNORE_INDEX
    colors: tuple[Color, ...] | None = None
    ignore_color: Color | None = None
    labels: tuple[int, ...] | None = None


def read_mask(path: Path, rule: MaskRule) -> np.ndarray:
    """A mask as uint8 [H, W] of class indices, `IGNORE_INDEX` for void.

    Palette masks are read as palette indices and gray ones (1 to 16 bits) as values, unless
    `rule.colors` is given: then every mask is read as colours (a gray value as three equal ones,
    a palette index as its colour), for a palette may list the colours in any order.
    Transparency does not count.
    Pixels come as they are stored: an EXIF rotation is ignored, as it is in pictures.

    Raises:
        UserError: The file is missing, no picture, damaged or of a format that changes values,
            or it has a value or colour that is neither a class nor void.
    """
    pixels = read_pixels(path, as_colors=rule.colors is not None)
    if pixels.ndim == 2:
        return _map_values(pixels, rule, path)
    if rule.colors is None:
        raise UserError(f"{path}: {_explain_colors(pixels)}")
    return _map_colors(pixels, rule, path)


def read_pixels(path: Path, *, as_colors: bool = False) -> np.ndarray:
    """A mask as it is stored: values [H, W] of an integer type, or colours, uint8 [H, W, 3].

    Args:
        path: The file.
        as_colors: Give palette and gray masks of up to 8 bits as colours, too.

    Raises:
        UserError: The file is missing, no picture, damaged or of a format that changes values.
    """
    with open_image(path) as image:
        if image.format not in EXACT_FORMATS:
            raise UserError(
                f"{path}: {image.format} does not keep mask values for certain; save masks as PNG"
            )
        if as_colors and not image.mode.startswith("I"):
            return np.asarray(image.convert("RGB"))
        values = _read_values(image)
        return np.asarray(image.convert("RGB")) if values is None else values


def size_problem(image: ImageSize, mask: ImageSize) -> str | None:
    """What is wrong with the size of a mask for its picture; None if nothing is."""
    if image == mask:
        return None
    swapped = " (swapped: was the mask drawn on the picture as its EXIF orientation turns it?)"
    return (
        f"the mask is {mask.width} x {mask.height} pixels, its picture "
        f"{image.width} x {image.height}{swapped if image == mask[::-1] else ''}"
    )


def _read_values(image: ImageFile) -> np.ndarray | None:
    """Indices or gray values, of any integer type; None for a mask of colours."""
    if image.mode == "1":
        return np.asarray(image).astype(np.uint8)
    if image.mode == "L":
        step = _gray_step(image)  # before the pixels are decoded, which forgets how they are stored
        return np.asarray(image) if step == 1 else np.asarray(image) // step
    return np.asarray(image) if image.mode == "P" or image.mode.startswith("I") else None


def _gray_step(image: ImageFile) -> int:
    stored = image.tile[0].args if image.tile else None
    return _GRAY_STEPS.get(str(stored[0] if isinstance(stored, tuple) else stored), 1)


def _map_values(values: np.ndarray, rule: MaskRule, path: Path) -> np.ndarray:
    if rule.labels is not None:
        return _map_labels(values, rule.labels, path)
    void = values == rule.ignore_index
    bad = ((values < 0) | (values >= rule.num_classes)) & ~void
    if bad.any():
        raise UserError(
            f"{path}: mask values that are neither a class (0 to {rule.num_classes - 1}) nor void "
            f"({rule.ignore_index}): {list_first(np.unique(values[bad]).tolist())}; correct the "
            "mask, or data.classes and data.ignore_index"
        )
    label_map = values.astype(np.uint8)
    label_map[void] = IGNORE_INDEX
    return label_map


def _map_labels(values: np.ndarray, labels: tuple[int, ...], path: Path) -> np.ndarray:
    table = np.full(IGNORE_INDEX + 1, IGNORE_INDEX, np.uint8)
    table[: len(labels)] = labels
    bad = (values < 0) | (values >= len(labels)) & (values != IGNORE_INDEX)
    if bad.any():
        raise UserError(
            f"{path}: mask values that are no label ids (0 to {len(labels) - 1}): "
            f"{list_first(np.unique(values[bad]).tolist())}"
        )
    return table[values]


def _explain_colors(pixels: np.ndarray) -> str:
    gray = (pixels == pixels[..., :1]).all()
    remedy = "save one of its three equal channels" if gray else "save class indices"
    return (
        f"the mask holds colours, not class indices; {remedy} as a gray or palette PNG, or give "
        "the colour of every class in data.colors"
    )


def _map_colors(pixels: np.ndarray, rule: MaskRule, path: Path) -> np.ndarray:
    labels = dict(zip(rule.colors or (), range(rule.num_classes), strict=True))
    if rule.ignore_color is not None:
        labels[rule.ignore_color] = IGNORE_INDEX
    codes = encode_colors(pixels)
    known = encode_colors(np.array(list(labels), dtype=np.uint8))
    order = np.argsort(known)
    places = order[np.searchsorted(known, codes, sorter=order).clip(max=len(known) - 1)]
    bad = known[places] != codes
    if bad.any():
        raise UserError(
            f"{path}: mask colours that no class has: {_list_colors(codes[bad])}; add them to "
            "data.colors or data.ignore_color"
        )
    return np.array(list(labels.values()), dtype=np.uint8)[places]


def encode_colors(pixels: np.ndarray) -> np.ndarray:
    """One number per colour of a uint8 array [..., 3]."""
    red, green, blue = np.moveaxis(pixels.astype(np.int32), -1, 0)
    return (red << 16) | (green << 8) | blue


def _list_colors(codes: np.ndarray) -> str:
    found, counts = np.unique(codes, return_counts=True)
    most = np.argsort(-counts, kind="stable")
    return list_first(
        [
            f"({code >> 16}, {code >> 8 & 255}, {code & 255}) at {count} pixels"
            for code, count in zip(found[most].tolist(), counts[most].tolist(), strict=True)
        ]
    )
