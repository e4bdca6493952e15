"""Class logits to label maps of any size: the same as interpolating all of them, for less work."""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mnv2_dense.segmentation.draw import LabelMap
from mnv2_dense.structures import ImageSize

Logits = NDArray[np.float32]
"""Of one picture, [C, h, w]."""

_MIXED = 255
"""Of a cell whose corners are of several classes; no label map has so many."""


class Places(NamedTuple):
    """Where the pixels of a picture's side lie between the rows, or columns, of logits.

    lower: the row before each, int64. share: of the row after it, float32.
    """

    lower: NDArray[np.int64]
    share: NDArray[np.float32]


def places_of(pixels: NDArray[np.float64], window: int, cells: int, align_corners: bool) -> Places:
    """Places of pixels among the cells that a network gives for a window.

    Args:
        pixels: Ascending places in the window, 0 in the centre of its first pixel.
        window: Pixels of the network's input.
        cells: Rows or columns of the logits.
        align_corners: Whether the corner cells' centres lie on the corner pixels' centres.
    """
    if align_corners:
        places = pixels * ((cells - 1) / max(1, window - 1))
    else:
        places = (pixels + 0.5) * (cells / window) - 0.5
    places = places.clip(0, cells - 1)
    lower = np.minimum(places.astype(np.int64), max(0, cells - 2))
    return Places(lower, (places - lower).astype(np.float32))


def shrunken_pixels(length: int, shrunken: int) -> NDArray[np.float64]:
    """Where the pixels of a side lie in the picture that was scaled down to `shrunken` pixels."""
    places = (np.arange(length) + 0.5) * (shrunken / length) - 0.5
    return places.clip(0, shrunken - 1)


def decode_labels(logits: Logits, rows: Places, columns: Places) -> LabelMap:
    """The class of the highest interpolated logit at every place, [len(rows), len(columns)].

    Between four cells of the same best class no other one can win, as bilinear weights are not
    negative and sum to one: only where they differ is anything interpolated.
    """
    logits = _at_least_two(logits)
    best = logits.argmax(0).astype(np.uint8)
    corners = np.stack([best[:-1, :-1], best[:-1, 1:], best[1:, :-1], best[1:, 1:]])
    cells = np.where((corners == corners[0]).all(0), corners[0], _MIXED).astype(np.uint8)
    across = np.repeat(cells, np.bincount(columns.lower, minlength=cells.shape[1]), axis=1)
    starts = np.searchsorted(rows.lower, np.arange(len(cells) + 1))
    label_map = np.repeat(across, np.diff(starts), axis=0)
    for row in np.flatnonzero((cells == _MIXED).any(1)):
        first, last = starts[row], starts[row + 1]
        mixed = np.flatnonzero(across[row] == _MIXED)
        if first < last and len(mixed):
            label_map[first:last, mixed] = _decode_row(
                logits[:, row : row + 2],
                rows.share[first:last],
                Places(columns.lower[mixed], columns.share[mixed]),
                cells[row] == _MIXED,
            )
    return label_map


def _at_least_two(logits: Logits) -> Logits:
    """Logits of one row or column with it repeated: there are cells between rows only."""
    repeats = [2 if side == 1 else 1 for side in logits.shape[1:]]
    return logits.repeat(repeats[0], axis=1).repeat(repeats[1], axis=2)


def _decode_row(
    pair: Logits, shares: NDArray[np.float32], columns: Places, mixed: NDArray[np.bool_]
) -> LabelMap:
    """Labels [len(shares), len(columns)] between two rows of cells [C, 2, w].

    Args:
        pair: The rows.
        shares: Of the second row, at every row of pixels.
        columns: Of the pixels that lie in the cells of `mixed`.
        mixed: Cells whose corners differ, [w - 1].
    """
    classes = _possible(pair, mixed)
    pair, lower = pair[classes], columns.lower
    above, below = np.moveaxis(
        pair[:, :, lower] * (1 - columns.share) + pair[:, :, lower + 1] * columns.share, 1, 0
    )
    labels = np.full((len(shares), len(lower)), classes[0], np.uint8)
    highest = _between(above[0], below[0], shares)
    for label, upper, lower_row in zip(classes[1:], above[1:], below[1:], strict=True):
        values = _between(upper, lower_row, shares)
        higher = values > highest
        np.copyto(highest, values, where=higher)
        labels[higher] = label
    return labels


def _between(
    above: NDArray[np.float32], below: NDArray[np.float32], shares: NDArray[np.float32]
) -> NDArray[np.float32]:
    values = above * (1 - shares)[:, None]
    values += below * shares[:, None]
    return values.astype(np.float32, copy=False)


def _possible(pair: Logits, mixed: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Classes that can win in a cell: not those that some other class exceeds at all corners."""
    corners = np.stack([pair[:, 0, :-1], pair[:, 0, 1:], pair[:, 1, :-1], pair[:, 1, 1:]])
    lowest, highest = corners[:, :, mixed].min(0), corners[:, :, mixed].max(0)
    return np.flatnonzero((highest >= lowest.max(0)).any(1))


class Window(NamedTuple):
    """What a network saw in one of overlapping windows: its place in the picture, its logits."""

    top: int
    left: int
    logits: Logits


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
        align_corners: See `places_of`.
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
    logits: Logits,
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
