"""The orders in which detections are matched and counted."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mnv2_dense.coco_evaluation.columns import Marks, Positions


class Ordered(NamedTuple):
    """Where detections stand; a group is a class in an image.

    Attributes:
        grouped: [N], positions of the detections, group by group, best first.
        ranks: [N], of those: 0 for the best of its group.
        classed: [N], positions in `grouped`, class by class, best first over all images.
    """

    grouped: Positions
    ranks: Positions
    classed: Positions


def order_detections(
    images: Positions, labels: Positions, scores: NDArray[np.float64], limit: int
) -> Ordered:
    """Orders detections as pycocotools does: of equal scores the lower image, then the first.

    Args:
        images: [N], from 0.
        labels: [N], from 0.
        scores: [N].
        limit: Best detections of a group that stay.
    """
    order = stable_order(images)
    order = order[np.argsort(-scores[order], kind="stable")]
    by_class = order[stable_order(labels[order])]
    by_group = stable_order(images[by_class])  # Positions in `by_class`.
    grouped = by_class[by_group]
    ranks = ranks_in(group_starts(images[grouped], labels[grouped]))
    kept = ranks < limit
    classed = np.empty(len(grouped), dtype=np.int64)
    classed[by_group] = np.where(kept, np.cumsum(kept) - 1, -1)
    return Ordered(grouped[kept], ranks[kept], classed[classed >= 0])


def stable_order(values: Positions) -> Positions:
    """What sorts whole numbers of 0 or more and keeps equal ones in their order."""
    if len(values) and int(values.max()) < 1 << 16:
        # NumPy sorts 16 bits by radix, in a tenth of the time.
        return np.argsort(values.astype(np.uint16), kind="stable")
    return np.argsort(values, kind="stable")


def group_starts(*keys: Positions) -> Marks:
    """Marks where one of the keys, each in its order, differs from the one before."""
    starts = np.ones(len(keys[0]), dtype=np.bool_)
    starts[1:] = np.logical_or.reduce([key[1:] != key[:-1] for key in keys])
    return starts


def ranks_in(starts: Marks) -> Positions:
    """0, 1, 2 and so on within each run that begins at a mark."""
    places = np.arange(len(starts))
    return places - np.maximum.accumulate(np.where(starts, places, 0))
