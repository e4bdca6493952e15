"""The config's anchor values that give a file's table of anchors."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from mnv2_dense.detection.anchors import LOWEST_SCALE, AnchorGenerator
from mnv2_dense.errors import UserError
from mnv2_dense.importing.graph import Graph
from mnv2_dense.ops.texts import list_first
from mnv2_dense.structures import ImageSize

_GENERATING = ("sqrt", "mul", "div", "identity")
"""What the generator does with scales and ratios."""
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


def check_scales(graph: Graph, counts: Sequence[int]) -> list[str]:
    """Names of a generator's scales and ratios, one per anchor of a cell.

    Args:
        graph: The file, which computes anchors from its maps.
        counts: Anchors per cell of the levels.

    Raises:
        UserError: They are not the release's.
    """
    generator = AnchorGenerator(len(counts))
    if generator.counts != list(counts):
        raise UserError(
            f"{graph.source}: it computes anchors from its maps, [{list_first(counts)}] per cell; "
            f"only the release's {generator.counts} are known"
        )
    known = [values for shapes in generator.shapes for values in _spellings(shapes)]
    read = {name for node in graph.nodes if node.op in _GENERATING for name in node.inputs}
    names = [
        name
        for name, value in graph.constants.items()
        if name in read and value.dtype.kind == "f" and value.ndim == 1 and value.size in counts
    ]
    for name in names:
        value = graph.constants[name]
        if not any(_is_like(value, each) for each in known):
            given = list_first([f"{each:g}" for each in value])
            raise UserError(
                f"{graph.source}: {name} ({given}) are no scales or ratios of the release's anchors"
            )
    return names


def _spellings(shapes: Sequence[tuple[float, float]]) -> list[np.ndarray]:
    """Values of a level's anchors that a file may hold: its own, or computed from them."""
    scales, ratios = np.array(shapes).T
    roots = np.sqrt(ratios)
    return [scales, ratios, roots, scales / roots, scales * roots]


def _is_like(value: np.ndarray, other: np.ndarray) -> bool:
    return value.shape == other.shape and np.allclose(value, other, rtol=1e-3)


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
    ratios = tuple(round(float(width / height), 4) for _, _, width, height in shapes)
    return {
        "scales": None,
        "min_scale": round(max_scale - step * (len(cells) - 1), 4),
        "max_scale": round(max_scale, 4),
        "aspect_ratios": ratios,
        "reduce_lowest_level": counts[0] == 3 and counts[0] != counts[1],
        "lowest_scale": LOWEST_SCALE,
    }


def _sides(size: ImageSize) -> np.ndarray:
    """An input's width and height as multiples of its shorter side, for (cx, cy, w, h)."""
    return np.array([size.width, size.height] * 2) / min(size)


def _scale(anchor: np.ndarray) -> float:
    return float(np.sqrt(anchor[2] * anchor[3]))


def _text(anchor: np.ndarray) -> str:
    return ", ".join(f"{value:.4f}" for value in anchor)
