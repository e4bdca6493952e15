"""The config's anchor values that give a file's table of anchors."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from mnv2_dense.detection.anchors import AnchorGenerator
from mnv2_dense.errors import UserError
from mnv2_dense.structures import ImageSize

TOLERANCE = 1e-4
"""Largest difference of an anchor, in shares of the input: files keep them rounded."""


def find_settings(
    table: np.ndarray, cells: Sequence[ImageSize], counts: Sequence[int], size: ImageSize, file: str
) -> dict[str, object]:
    """Keys of the config's `anchors` section, checked against every anchor of a file.

    Args:
        table: [A, 4] as (cx, cy, w, h) in shares of the input.
        cells: Of the levels' maps.
        counts: Anchors per cell of the levels.
        size: Of the network's input.
        file: For messages.

    Raises:
        UserError: They are not those of the released generator at any scales and ratios.
    """
    wanted = sum(
        each.height * each.width * count for each, count in zip(cells, counts, strict=True)
    )
    if len(table) != wanted or len(cells) < 2 or min(counts) < 1:
        raise UserError(f"{file}: has {len(table)} anchors, but its maps need {wanted}")
    settings = _read_settings(table, cells, counts, size)
    found = _difference(settings, table, cells, counts, size)
    if found is not None:
        raise UserError(f"{file}: its anchors are not those of the released SSD generator: {found}")
    return settings


def _difference(
    settings: dict[str, Any],
    table: np.ndarray,
    cells: Sequence[ImageSize],
    counts: Sequence[int],
    size: ImageSize,
) -> str | None:
    """Where the anchors of some settings are not those of a table; None if they are the same."""
    low, high, ratios = (settings[key] for key in ("min_scale", "max_scale", "aspect_ratios"))
    if not (0 < low < high <= 1 and all(0 < ratio < np.inf for ratio in ratios)):
        return f"scales {low:g} to {high:g}, ratios {', '.join(f'{each:g}' for each in ratios)}"
    generator = AnchorGenerator(len(cells), **settings)
    if generator.counts != list(counts):
        return f"{list(counts)} per cell, not {generator.counts}"
    ours = generator(cells, size, torch.device("cpu")).numpy()
    differences = np.abs(ours - table).max(axis=1)
    if differences.max() <= TOLERANCE:
        return None
    worst = int(differences.argmax())
    return f"anchor {worst} is {_text(table[worst])}, not {_text(ours[worst])}"


def _read_settings(
    table: np.ndarray, cells: Sequence[ImageSize], counts: Sequence[int], size: ImageSize
) -> dict[str, Any]:
    """Scales and ratios as the last levels have them, rounded to what a config would say."""
    table = table * _sides(size)
    sizes = [each.height * each.width * n for each, n in zip(cells, counts, strict=True)]
    starts = np.cumsum([0, *sizes])
    last, before = table[starts[-2]], table[starts[-3]]
    max_scale, step = _scale(last), _scale(last) - _scale(before)
    shapes = table[starts[-2] : starts[-2] + counts[-1] - 1]
    ratios = tuple(_round_ratio(float(width / height)) for _, _, width, height in shapes)
    return {
        "min_scale": round(max_scale - step * (len(cells) - 1), 4),
        "max_scale": round(max_scale, 4),
        "aspect_ratios": ratios,
        "reduce_lowest_level": counts[0] == 3 and counts[0] != counts[1],
    }


def _sides(size: ImageSize) -> np.ndarray:
    """An input's width and height as multiples of its shorter side, for (cx, cy, w, h)."""
    return np.array([size.width, size.height] * 2) / min(size)


def _scale(anchor: np.ndarray) -> float:
    return float(np.sqrt(anchor[2] * anchor[3]))


def _round_ratio(ratio: float) -> float:
    return round(ratio, 4)


def _text(anchor: np.ndarray) -> str:
    return ", ".join(f"{value:.4f}" for value in anchor)
