"""What masks hold, looked at before it is known which classes they have."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mnv2_dense.errors import UserError
from mnv2_dense.ops.texts import list_first
from mnv2_dense.segmentation.masks import Color, encode_colors, read_pixels

THREADS = 4
"""Masks read at once; decoding PNG leaves the interpreter's lock."""
MAX_VALUES = 256
"""Different values or colours in the masks of a set; more are no classes."""


class MaskContents(NamedTuple):
    """Pixels of every value in masks of indices, and of every colour in masks of colours.

    Attributes:
        values: Pixels by value.
        colors: Pixels by colour.
        masks: By value, the masks that hold it.
    """

    values: Mapping[int, int]
    colors: Mapping[Color, int]
    masks: Mapping[int, list[Path]] = {}


def find_contents(paths: Sequence[Path]) -> MaskContents:
    """What all the masks together hold; those that cannot be read are passed over.

    Raises:
        UserError: None can be read, or they hold too many values to be classes.
    """
    values: Counter[int] = Counter()
    colors: Counter[Color] = Counter()
    masks: dict[int, list[Path]] = defaultdict(list)
    problems: list[str] = []
    with ThreadPoolExecutor(THREADS) as pool:
        for path, found in zip(paths, pool.map(_count, paths), strict=True):
            if isinstance(found, str):
                problems.append(found)
                continue
            values.update(found.values)
            colors.update(found.colors)
            for value in found.values:
                masks[value].append(path)
            if max(len(values), len(colors)) > MAX_VALUES:
                raise UserError(
                    f"{path}: a mask with so many values is no class mask (the masks up to this "
                    f"one have more than {MAX_VALUES} values or colours; smoothed edges?)"
                )
    if problems and not values and not colors:
        raise UserError(f"no mask can be used: {list_first(problems)}")
    return MaskContents(values, colors, masks)


def count_classes(values: Iterable[int], ignore_index: int) -> int:
    """Number of classes that the values of masks stand for: the highest value and one more.

    Raises:
        UserError: The values are those of an object in white, or of shades of gray.
    """
    found = sorted(set(values) - {ignore_index})
    if len(found) < 2:
        raise UserError(
            f"the training masks hold the values {list_first(sorted(set(values)))} alone, and "
            f"{ignore_index} is void (data.ignore_index): fewer than two classes. Masks of 0 and "
            "255 need data.colors=[[0,0,0],[255,255,255]]"
        )
    if found[0] < 0 or found[-1] >= MAX_VALUES - 1 or (found[-1] > 30 > 4 * len(found)):
        raise UserError(
            f"the training masks hold the values {list_first(found)}: not those of classes that "
            f"count from 0 up. Were coloured masks saved as gray? Give data.num_classes=N if they "
            "are right; mnv2-dense check_data names the masks"
        )
    return found[-1] + 1


def describe_colors(colors: Mapping[Color, int], folder: Path) -> str:
    """What to do about masks of colours without a table: the colours, ready to be given."""
    most = sorted(colors, key=lambda color: -colors[color])
    total = sum(colors.values())
    listed = ",".join("[{},{},{}]".format(*color) for color in most)
    shares = ", ".join(f"{colors[color] / total:.2%}" for color in most)
    return (
        f"{folder}: the masks hold colours, and there is no table of their classes. Give "
        f"data.color_table=FILE (lines of name,r,g,b), or sort these {len(most)} colours into the "
        f"order of the classes, and void into data.ignore_color: 'data.colors=[{listed}]' "
        f"(of all pixels: {shares})"
    )


def _count(path: Path) -> MaskContents | str:
    """What a mask holds, or what is wrong with it."""
    try:
        pixels = read_pixels(path)
    except UserError as error:
        return str(error)
    codes = encode_colors(pixels) if pixels.ndim == 3 else pixels
    values, counts = np.unique(codes, return_counts=True)
    found = dict(zip(values.tolist(), counts.tolist(), strict=True))
    if pixels.ndim == 2:
        return MaskContents(found, {})
    colors = {(code >> 16, code >> 8 & 255, code & 255): found[code] for code in found}
    return MaskContents({}, colors)
