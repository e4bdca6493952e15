"""Greedy matching of all images, classes, IoU thresholds and sizes at once.

A setting is one IoU threshold for objects of one size. What holds at up to 64 settings are the bits
of one number, so a step of the algorithm is a few operations on whole columns.
"""

from typing import NamedTuple

import numpy as np

from mnv2_dense.coco_evaluation.columns import Bits, Marks, Positions
from mnv2_dense.coco_evaluation.ordering import group_starts, ranks_in
from mnv2_dense.coco_evaluation.overlaps import Candidates


class Matches(NamedTuple):
    """The settings at which detections match.

    Attributes:
        hits: [N], with an object that counts.
        ignored: [N], with one that does not: a crowd, a difficult one, or one of another size.
    """

    hits: Bits
    ignored: Bits


class _Steps(NamedTuple):
    """Pairs that may match at some settings, step by step; no detection or object twice in one.

    Attributes:
        detections: [N], counted from 0 over those that have candidates.
        objects: [N].
        settings: [N], at which the pair may match.
        counts: Whether the objects of a step count, one entry per step.
        ends: Where each step ends.
    """

    detections: Positions
    objects: Positions
    settings: Bits
    counts: list[bool]
    ends: list[int]


def match(
    candidates: Candidates,
    groups: Positions,
    passing: Bits,
    counting: Bits,
    crowds: Marks,
) -> Matches:
    """Matches detections to objects as COCOeval does.

    In a class of an image the detections choose in turn, best first. One takes the free object of
    the highest IoU that counts, else that of the highest IoU that does not. An object is free
    until it is taken, a crowd always.

    Args:
        candidates: See `find_candidates`.
        groups: [N], of each candidate; ascending.
        passing: [N], the settings whose IoU threshold it reaches.
        counting: [G], the settings at which an object counts.
        crowds: [G], which objects are crowds.

    Returns:
        One entry per detection that has candidates, in their order.
    """
    steps = _plan(candidates, groups, passing, counting)
    starts = group_starts(candidates.detections)
    hits, ignored = (np.zeros(int(starts.sum()), dtype=np.uint64) for _ in range(2))
    free = np.full(len(counting), ~np.uint64(0))
    start = 0
    for end, counts in zip(steps.ends, steps.counts, strict=True):
        detection, other = steps.detections[start:end], steps.objects[start:end]
        taken = steps.settings[start:end] & free[other] & ~(hits[detection] | ignored[detection])
        (hits if counts else ignored)[detection] |= taken
        free[other] &= ~np.where(crowds[other], np.uint64(0), taken)
        start = end
    return Matches(hits, ignored)


def _plan(candidates: Candidates, groups: Positions, passing: Bits, counting: Bits) -> _Steps:
    """The pairs ordered by turn of the detection, objects that count first, then by IoU."""
    starts = group_starts(candidates.detections)
    number = np.cumsum(starts) - 1
    turns = ranks_in(group_starts(groups[starts]))[number]
    places = ranks_in(starts)
    counts = counting[candidates.objects]
    settings = np.concatenate([passing & counts, passing & ~counts])
    pairs = np.tile(np.arange(len(passing)), 2)
    second = np.arange(len(settings)) >= len(passing)
    useful = settings != 0
    pairs, second, settings = pairs[useful], second[useful], settings[useful]
    most = int(places.max(initial=0)) + 1
    step = (turns[pairs] * 2 + second) * most + places[pairs]
    order = np.argsort(step, kind="stable")
    step, pairs = step[order], pairs[order]
    ends = np.append(np.flatnonzero(np.diff(step)) + 1, len(step)) if len(step) else step
    return _Steps(
        number[pairs],
        candidates.objects[pairs],
        settings[order],
        (~second[order][ends - 1]).tolist(),
        ends.tolist(),
    )
