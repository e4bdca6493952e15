"""Class scores to label maps of any size: the same as interpolating all of them, for less work.

It needs no torch, as what runs exported networks does without it.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float32]
"""Logits or probabilities of one picture, [C, h, w]."""

_MIXED = 255
"""Of a cell whose corners are of several classes; no label map has so many."""


class Places(NamedTuple):
    """Where the pixels of a picture's side lie between the rows, or columns, of scores.

    lower: the row before each, int64, ascending. share: of the row after it, float32.
    """

    lower: NDArray[np.int64]
    share: NDArray[np.float32]


def places_of(pixels: NDArray[np.float64], window: int, cells: int, align_corners: bool) -> Places:
    """Places of pixels among the cells that a network gives for a window.

    Args:
        pixels: Ascending places in the window, 0 in the centre of its first pixel.
        window: Pixels of the network's input.
        cells: Rows or columns of the scores.
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


@np.errstate(invalid="ignore")  # Logits of a network that diverged may be infinite.
def decode_labels(scores: Scores, rows: Places, columns: Places) -> NDArray[np.uint8]:
    """The class of the highest interpolated score at every place, [len(rows), len(columns)].

    Between four cells of the same best class no other one can win, as bilinear weights are not
    negative and sum to one: only where they differ is anything interpolated.
    """
    scores = _at_least_two(scores)
    best = scores.argmax(0).astype(np.uint8)
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
                scores[:, row : row + 2],
                rows.share[first:last],
                Places(columns.lower[mixed], columns.share[mixed]),
                cells[row] == _MIXED,
            )
    return label_map


def _at_least_two(scores: Scores) -> Scores:
    """Scores of one row or column with it repeated: there are cells between rows only."""
    repeats = [2 if side == 1 else 1 for side in scores.shape[1:]]
    return scores.repeat(repeats[0], axis=1).repeat(repeats[1], axis=2)


def _decode_row(
    pair: Scores, shares: NDArray[np.float32], columns: Places, mixed: NDArray[np.bool_]
) -> NDArray[np.uint8]:
    """Labels [len(shares), len(columns)] between two rows of cells [C, 2, w].

    Args:
        pair: The rows.
        shares: Of the second row, at every row of pixels.
        columns: Of the pixels that lie in the cells of `mixed`.
        mixed: Cells whose corners differ, [w - 1].
    """
    classes = _possible(pair, mixed)
    between = pair[classes]
    between, following = (between.take(columns.lower + step, axis=2) for step in (0, 1))
    following -= between
    following *= columns.share
    between += following
    return classes.astype(np.uint8)[_best_between(between[:, 0], between[:, 1], shares[:, None])]


def _best_between(above: Scores, below: Scores, shares: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Index of the highest score, the first of equals, between rows [K, W]: [len(shares), W].

    Everything is written into the same few arrays, which stay in the processor's cache.
    """
    steps = below - above
    highest = above[0] + steps[0] * shares
    best = np.zeros(highest.shape, np.uint8)
    values, higher = np.empty_like(highest), np.empty_like(best)
    for index in range(1, len(above)):
        np.multiply(steps[index], shares, out=values)
        values += above[index]
        np.greater(values, highest, out=higher.view(np.bool_))
        np.maximum(highest, values, out=highest)
        # The index grows, so that the largest one is the last that was higher.
        higher *= np.uint8(index)
        np.maximum(best, higher, out=best)
    return best


def _possible(pair: Scores, mixed: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Classes that can win in a cell: not those that some other class exceeds at all corners."""
    corners = np.stack([pair[:, 0, :-1], pair[:, 0, 1:], pair[:, 1, :-1], pair[:, 1, 1:]])
    lowest, highest = corners[:, :, mixed].min(0), corners[:, :, mixed].max(0)
    # Of scores that are no numbers all classes are kept.
    return np.flatnonzero((~(highest < lowest.max(0))).any(1))
