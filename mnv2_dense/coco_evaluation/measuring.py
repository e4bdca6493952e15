"""Precision and recall of detections, exactly as pycocotools has them."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from mnv2_dense.coco_evaluation.columns import Ids, Numbers
from mnv2_dense.coco_evaluation.curves import Curves, Matched, hits_needed, trace
from mnv2_dense.coco_evaluation.grouping import Found, group_found, group_objects
from mnv2_dense.coco_evaluation.options import Options
from mnv2_dense.coco_evaluation.records import GroundTruth, Results
from mnv2_dense.coco_evaluation.sizes import in_range, match_sizes


class Measured(NamedTuple):
    """pycocotools' arrays; -1 of a class without objects.

    Attributes:
        precision: [T, R, K, A, M], by IoU threshold, recall threshold, class, area range and number
            of detections.
        recall: [T, K, A, M].
    """

    precision: Numbers
    recall: Numbers


@np.errstate(over="ignore", invalid="ignore")  # Finite sides may have an area that is not.
def measure(truth: GroundTruth, results: Results, image_ids: Ids, options: Options) -> Measured:
    """The two arrays over some images.

    Args:
        truth: What is to be found.
        results: What was found; other images and unknown classes are passed over.
        image_ids: Of the images to measure, ascending, each once.
        options: What is measured.
    """
    blind, limit = options.class_blind, options.max_detections[-1]
    objects = group_objects(truth, image_ids, class_blind=blind)
    found = group_found(results, truth, image_ids, limit, class_blind=blind)
    classes = 1 if blind else len(truth.categories)
    measured = _empty(options, classes)
    ranges = list(options.area_ranges.values())
    matches = match_sizes(objects, found, options.iou_thresholds, ranges)
    for size, (ends, matched) in enumerate(zip(ranges, matches, strict=True)):
        counts = objects.labels[in_range(objects.areas, ends) & ~objects.left_out]
        totals = np.bincount(counts, minlength=classes)
        for limit, curves in enumerate(_trace_limits(found, matched, ends, totals, options)):
            measured.precision[..., size, limit] = curves.precision
            measured.recall[..., size, limit] = curves.recall
    return measured


def _empty(options: Options, classes: int) -> Measured:
    thresholds, recalls = len(options.iou_thresholds), len(options.recall_thresholds)
    first = len(options.area_ranges), len(options.max_detections), thresholds
    # In memory a curve is one piece: it is written so.
    precision, recall = np.empty((*first, classes, recalls)), np.empty((*first, classes))
    return Measured(precision.transpose(2, 4, 3, 0, 1), recall.transpose(2, 3, 0, 1))


def _trace_limits(
    found: Found, matched: Matched, ends: tuple[float, float], totals: Ids, options: Options
) -> Iterator[Curves]:
    """Curves of one size, by the number of detections that count."""
    inside = in_range(found.areas, ends)
    needed = hits_needed(totals, np.array(options.recall_thresholds))
    for limit in options.max_detections:
        best = found.ranks < limit
        of_best = best[matched.places]
        kept = Matched(matched.places, matched.hits & of_best, matched.ignored & of_best)
        yield trace(found.labels, inside & best, kept, totals, needed)
