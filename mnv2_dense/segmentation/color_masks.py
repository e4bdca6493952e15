"""Whether masks store the colours of a table of classes, or places in it."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mnv2_dense.errors import UserError
from mnv2_dense.images import open_image
from mnv2_dense.ops.texts import list_first
from mnv2_dense.segmentation.contents import THREADS
from mnv2_dense.segmentation.masks import Color, encode_colors, read_pixels

Palette = tuple[int, ...]
"""Colours by value, encoded."""


class _Kind(NamedTuple):
    """How a mask stores classes.

    Attributes:
        palette: Empty for gray, None for a mask that holds colours.
        drawn: Colour of every value in it.
    """

    palette: Palette | None
    drawn: Mapping[int, int]


def hold_colors(paths: Sequence[Path], colors: Sequence[Color], ignore_index: int) -> bool:
    """Whether masks are to be read as colours of a table, and not as places in it.

    Masks of indices may have a palette with the table's colours in another order: then the
    colours count, be it that no pixel shows it. Where index and colour say the same, or the
    palette is another one, the index counts. Gray masks are told apart by the values of all of
    them. Masks that cannot be read are passed over.

    Args:
        paths: The masks.
        colors: By place in the table.
        ignore_index: Index of void, which no table lists.

    Raises:
        UserError: Some masks hold colours and others indices, a palette leaves open which, or none
            can be read.
    """
    table = encode_colors(np.array(colors, dtype=np.uint8)).tolist()
    first: dict[Palette | None, Path] = {}
    drawn: dict[Palette | None, dict[int, int]] = defaultdict(dict)
    problems: list[str] = []
    with ThreadPoolExecutor(THREADS) as pool:
        for path, kind in zip(paths, pool.map(_look, paths), strict=True):
            if isinstance(kind, str):
                problems.append(kind)
                continue
            first.setdefault(kind.palette, path)
            drawn[kind.palette].update(kind.drawn)
    if not first:
        raise UserError(f"no mask can be used: {list_first(problems)}")
    votes: dict[bool, Path] = {}
    for palette, path in first.items():
        vote = _judge(palette, drawn[palette], table, ignore_index, path)
        if vote is not None:
            votes.setdefault(vote, path)
    if len(votes) > 1:
        raise UserError(
            f"{votes[True]} holds colours of the table of classes, but {votes[False]} places in "
            "it; save all masks in one way"
        )
    return True in votes


def _look(path: Path) -> _Kind | str:
    """How a mask stores classes, or what is wrong with it."""
    try:
        values = read_pixels(path)
        if values.ndim == 3:
            return _Kind(None, {})
        colored = read_pixels(path, as_colors=True)
        with open_image(path) as image:
            flat = image.getpalette("RGB") if image.mode == "P" else None
    except UserError as error:
        return str(error)
    used, places = np.unique(values, return_index=True)
    if colored.ndim == 2:
        return _Kind((), dict.fromkeys(used.tolist(), -1))
    codes = encode_colors(colored.reshape(-1, 3)[places])
    drawn = dict(zip(used.tolist(), codes.tolist(), strict=True))
    listed = encode_colors(np.array(flat or [], dtype=np.uint8).reshape(-1, 3)).tolist()
    return _Kind(() if listed == [0x10101 * gray for gray in range(256)] else _cut(listed), drawn)


def _cut(palette: Sequence[int]) -> Palette:
    """Without the repeated colours that palettes are filled up with."""
    return tuple(palette[: max(map(palette.index, set(palette)), default=-1) + 1])


def _judge(
    palette: Palette | None,
    drawn: Mapping[int, int],
    table: Sequence[int],
    ignore_index: int,
    path: Path,
) -> bool | None:
    """Whether masks of a palette hold colours; None if that makes no difference."""
    if palette is None:
        return True
    white = not palette and drawn.get(ignore_index) in table
    used = {value: drawn[value] for value in drawn if value != ignore_index or white}
    by_color = set(used.values()) <= set(table) and len(set(used.values())) == len(used)
    by_index = all(0 <= value < len(table) or value == ignore_index for value in used)
    ordered = all(code == table[place] for place, code in enumerate(palette[: len(table)]))
    permuted = not ordered and (set(table) <= set(palette) or set(palette) <= set(table))
    if all(value < len(table) and table[value] == code for value, code in used.items()):
        return True if palette and permuted else None
    if by_color:
        return True
    if palette and permuted and len(set(palette)) > 1 and by_index:
        raise UserError(
            f"{path}: its palette has the colours of the table of classes in another order, but "
            "its pixels have others, too; give data.classes to read masks as indices, or "
            "data.colors and data.ignore_color"
        )
    return bool(palette) and permuted
