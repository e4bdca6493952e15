"""The label map of a picture that was seen through overlapping windows."""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mnv2_dense.ops.labels import Places, Scores, places_of
from mnv2_dense.segmentation.draw import LabelMap
from mnv2_dense.structures import ImageSize


class Window(NamedTuple):
    """What a network saw in one of overlapping windows: its place in the picture, its logits."""

    top: int
    left: int
    logits: Scores


def average_windows(
    windows: Sequence[Window],
    label_map: LabelMap,
    window: ImageSize,
    align_corners: bool,
) -> None:
    """Decides where windows overlap by their averaged probabilities.

    Args:
        windows: A grid of them, row by row.
        label_map: [H, W], in which the pixels of a single window are decided already; changed.
        window: Size of the network's input.
        align_corners: See `ops.labels.places_of`.
    """
    size = ImageSize(*label_map.shape)
    height, width = min(window.height, size.height), min(window.width, size.width)
    bands = _segments(sorted({each.top for each in windows}), height)
    columns = _segments(sorted({each.left for each in windows}), width)
    at = {(each.top, each.left): each.logits for each in windows}
    for top, bottom, tops in bands:
        for left, right, lefts in columns:
            if len(tops) * len(lefts) == 1:
                continue
            total: NDArray[np.float32] | float = 0.0
            for first in tops:
                for start in lefts:
                    rows = np.arange(top, bottom, dtype=np.float64) - first
                    across = np.arange(left, right, dtype=np.float64) - start
                    total += _probabilities(at[first, start], rows, across, window, align_corners)
            assert isinstance(total, np.ndarray)
            label_map[top:bottom, left:right] = _best(total)


def _segments(starts: Sequence[int], length: int) -> list[tuple[int, int, list[int]]]:
    """First and one past the last pixel that the same windows cover, and where those start."""
    edges = sorted({*starts, *(start + length for start in starts)})
    return [
        (first, last, [start for start in starts if start <= first and last <= start + length])
        for first, last in pairwise(edges)
    ]


def _probabilities(
    logits: Scores,
    rows: NDArray[np.float64],
    columns: NDArray[np.float64],
    window: ImageSize,
    align_corners: bool,
) -> NDArray[np.float32]:
    """Class probabilities [C, len(rows), len(columns)] at pixels of a window."""
    down = _weights(places_of(rows, window.height, logits.shape[1], align_corners), logits.shape[1])
    across = _weights(
        places_of(columns, window.width, logits.shape[2], align_corners), logits.shape[2]
    )
    values = down @ logits @ across.T
    values -= values.max(0)
    np.exp(values, out=values)
    values /= values.sum(0)
    return values


def _weights(places: Places, cells: int) -> NDArray[np.float32]:
    """A matrix [len(places), cells] that interpolates."""
    weights = np.zeros((len(places.lower), cells), np.float32)
    each = np.arange(len(places.lower))
    weights[each, places.lower] = 1 - places.share
    weights[each, np.minimum(places.lower + 1, cells - 1)] += places.share
    return weights


def _best(values: NDArray[np.float32]) -> LabelMap:
    """As argmax over the first dimension, which NumPy would take ten times as long for."""
    highest, labels = values[0].copy(), np.zeros(values.shape[1:], np.uint8)
    for label, each in enumerate(values[1:], start=1):
        higher = each > highest
        np.copyto(highest, each, where=higher)
        labels[higher] = label
    return labels
