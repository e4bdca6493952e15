"""The pairs of a detection and an object that may match."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from mnv2_dense.coco_evaluation.columns import Marks, Numbers, Positions
from mnv2_dense.coco_evaluation.ordering import group_starts

PAIRS = 1 << 17
"""That are looked at together: their columns fit a processor's cache."""


class Candidates(NamedTuple):
    """Pairs of one class and image: by detection, its best object first.

    Of equal IoU the object that stands later is first, as pycocotools takes it.

    Attributes:
        detections: [N], positions, ascending.
        objects: [N], positions.
        ious: [N].
    """

    detections: Positions
    objects: Positions
    ious: Numbers


def find_candidates(
    detections: tuple[Positions, Numbers],
    objects: tuple[Positions, Numbers],
    crowds: Marks,
    least: float,
) -> Candidates:
    """Every pair of the same group with at least some IoU.

    Args:
        detections: Group [N], ascending, and boxes [N, 4] x, y, width, height.
        objects: The same of the ground truth.
        crowds: Which objects are crowds.
        least: The least IoU.
    """
    (groups, boxes), (object_groups, object_boxes) = detections, objects
    pairs = _pair_ranges(groups, object_groups)
    columns, object_columns = _columns(boxes), _columns(object_boxes)
    found = [(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))]
    for part in pairs.parts():
        one, other = part.expand()
        ious = _ious(columns[:, one], object_columns[:, other], crowds[other])
        good = ious >= least
        found.append((one[good], other[good], ious[good]))
    one, other, ious = map(np.concatenate, zip(*found, strict=True))
    order = np.lexsort((-other, -ious, one))
    return Candidates(one[order], other[order], ious[order])


class _Ranges(NamedTuple):
    """Detections, ascending, and the objects of their groups.

    Attributes:
        detections: [N].
        first: [N], the first object.
        counts: [N], how many there are.
    """

    detections: Positions
    first: Positions
    counts: Positions

    def parts(self) -> Iterator["_Ranges"]:
        """Some `PAIRS` pairs at a time."""
        ends = np.cumsum(self.counts)
        total = ends[-1] if len(ends) else 0
        cuts = np.searchsorted(ends, np.arange(PAIRS, total, PAIRS))
        split = (np.split(column, cuts) for column in self)
        return (_Ranges(*columns) for columns in zip(*split, strict=True))

    def expand(self) -> tuple[Positions, Positions]:
        """Every pair: its detection and its object."""
        return np.repeat(self.detections, self.counts), _count_from(self.first, self.counts)


def _pair_ranges(groups: Positions, object_groups: Positions) -> _Ranges:
    first = np.flatnonzero(group_starts(object_groups))
    counts = np.diff(np.append(first, len(object_groups)))
    # The other way round, a search for the group of every detection, takes ten times as long.
    start = np.searchsorted(groups, object_groups[first], side="left")
    lengths = np.searchsorted(groups, object_groups[first], side="right") - start
    detections = _count_from(start, lengths)
    return _Ranges(detections, np.repeat(first, lengths), np.repeat(counts, lengths))


def _count_from(first: Positions, counts: Positions) -> Positions:
    """`first`, `first` + 1 and so on, `counts` of them, for each."""
    skipped = np.cumsum(counts) - counts
    return np.arange(counts.sum()) + np.repeat(first - skipped, counts)


def _columns(boxes: Numbers) -> Numbers:
    """x1, y1, x2, y2 and area [5, N]."""
    left, top, width, height = boxes.T
    return np.stack([left, top, width + left, height + top, width * height])


def _ious(one: Numbers, other: Numbers, crowds: Marks) -> Numbers:
    """IoU pair by pair, in the steps of pycocotools' `bbIou`; with a crowd, over the detection.

    Boxes whose areas are beyond floats overlap nothing.
    """
    width = np.minimum(one[2], other[2]) - np.maximum(one[0], other[0])
    height = np.minimum(one[3], other[3]) - np.maximum(one[1], other[1])
    meets = (width > 0) & (height > 0)
    shared = width * height
    union = np.where(crowds, one[4], one[4] + other[4] - shared)
    return np.divide(shared, union, out=np.zeros_like(shared), where=meets)
