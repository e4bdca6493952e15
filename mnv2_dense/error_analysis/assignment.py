"""Greedy assignment of detections to objects, of all images at once."""

import numpy as np

from mnv2_dense.coco_evaluation.columns import Marks, Positions
from mnv2_dense.coco_evaluation.ordering import group_starts, ranks_in


def assign(
    detections: Positions, objects: Positions, images: Positions, crowds: Marks
) -> Positions:
    """The object that each detection takes, -1 where it takes none.

    The detections of an image choose in turn, best first. One takes the first free object of its
    pairs. An object is free until it is taken, a crowd always.

    Args:
        detections: [P], of each pair; ascending.
        objects: [P], in the order in which the detection wants them.
        images: [N], of each detection, ascending; in an image the best one is first.
        crowds: [G], which objects are crowds.

    Returns:
        [N].
    """
    starts = group_starts(detections)
    turns = ranks_in(group_starts(images[detections[starts]]))[np.cumsum(starts) - 1]
    wishes = ranks_in(starts)
    # In a step no detection and no object comes twice.
    step = turns * (wishes.max(initial=0) + 1) + wishes
    order = np.argsort(step, kind="stable")
    taken, free = np.full(len(images), -1), np.ones(len(crowds), dtype=np.bool_)
    for pairs in np.split(order, np.flatnonzero(np.diff(step[order])) + 1):
        one, other = detections[pairs], objects[pairs]
        good = (taken[one] < 0) & free[other]
        taken[one[good]] = other[good]
        free[other[good]] = crowds[other[good]]
    return taken
