"""Matches at every IoU threshold, for one size of objects after the other."""

from collections.abc import Iterator, Sequence

import numpy as np

from mnv2_dense.coco_evaluation.columns import Bits, Marks, Numbers
from mnv2_dense.coco_evaluation.curves import Matched
from mnv2_dense.coco_evaluation.grouping import Found, Objects
from mnv2_dense.coco_evaluation.matching import match
from mnv2_dense.coco_evaluation.options import MAX_IOU_THRESHOLDS
from mnv2_dense.coco_evaluation.ordering import group_starts
from mnv2_dense.coco_evaluation.overlaps import Candidates, find_candidates

Range = tuple[float, float]


def match_sizes(
    objects: Objects, found: Found, iou_thresholds: Sequence[float], ranges: Sequence[Range]
) -> Iterator[Matched]:
    """What matches, for one range of areas after the other.

    Args:
        objects: What is to be found.
        found: What was found.
        iou_thresholds: As they are given; COCOeval lets an IoU of almost 1 pass for 1.
        ranges: Least and largest area of objects that count.
    """
    thresholds = np.minimum(iou_thresholds, 1 - 1e-10)
    one, other = (found.groups, found.boxes), (objects.groups, objects.boxes)
    candidates = find_candidates(one, other, objects.crowds, float(thresholds.min()))
    places = found.places[candidates.detections[group_starts(candidates.detections)]]
    order = np.argsort(places)
    places = places[order]
    together = MAX_IOU_THRESHOLDS // len(thresholds)
    for start in range(0, len(ranges), together):
        part = ranges[start : start + together]
        matches = match(
            candidates,
            found.groups[candidates.detections],
            _passing(candidates, thresholds, len(part)),
            _counting(objects, len(thresholds), part),
            objects.crowds,
        )
        bits = [side[order] for side in matches]
        for size in range(len(part)):
            marks = [_unpack(side, size * len(thresholds), len(thresholds)) for side in bits]
            some = (marks[0] | marks[1]).any(axis=0)
            yield Matched(places[some], marks[0][:, some], marks[1][:, some])


def in_range(areas: Numbers, ends: Range) -> Marks:
    """Whether areas are of a size, to which both ends belong."""
    return ~((areas < ends[0]) | (areas > ends[1]))


def _passing(candidates: Candidates, thresholds: Numbers, sizes: int) -> Bits:
    """The settings whose threshold a candidate reaches: those of all sizes."""
    bits = np.zeros(len(candidates.ious), dtype=np.uint64)
    for position, threshold in enumerate(thresholds):
        at_all_sizes = sum(1 << position + size * len(thresholds) for size in range(sizes))
        bits |= np.where(candidates.ious >= threshold, np.uint64(at_all_sizes), np.uint64(0))
    return bits


def _counting(objects: Objects, thresholds: int, ranges: Sequence[Range]) -> Bits:
    """The settings at which an object counts: those of its sizes."""
    bits = np.zeros(len(objects.areas), dtype=np.uint64)
    for size, ends in enumerate(ranges):
        at_all_thresholds = np.uint64((1 << thresholds) - 1 << size * thresholds)
        counts = in_range(objects.areas, ends) & ~objects.left_out
        bits |= np.where(counts, at_all_thresholds, np.uint64(0))
    return bits


def _unpack(bits: Bits, first: int, count: int) -> Marks:
    shifts = np.arange(first, first + count, dtype=np.uint64)[:, None]
    return (bits >> shifts & np.uint64(1)).astype(np.bool_)
