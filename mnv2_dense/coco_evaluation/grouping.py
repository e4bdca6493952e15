"""Objects and detections in the order in which they are matched: by image, then class."""

from typing import NamedTuple

import numpy as np

from mnv2_dense.coco_evaluation.columns import Ids, Marks, Numbers, Positions
from mnv2_dense.coco_evaluation.ordering import order_detections, stable_order
from mnv2_dense.coco_evaluation.records import GroundTruth, Results


class Objects(NamedTuple):
    """What is to be found, group by group; a group is a class in an image.

    Attributes:
        labels: [N], positions of the classes.
        groups: [N], ascending.
        boxes: [N, 4], x, y, width, height in pixels.
        areas: [N], square pixels.
        crowds: [N].
        left_out: [N], whether it counts at no size: crowds and difficult ones.
    """

    labels: Positions
    groups: Positions
    boxes: Numbers
    areas: Numbers
    crowds: Marks
    left_out: Marks


class Found(NamedTuple):
    """Detections in two orders: as they are matched, and as they are counted.

    Attributes:
        groups: [N], ascending, best first.
        boxes: [N, 4], x, y, width, height in pixels.
        places: [N], where they stand in the other order: class by class, best first.
        labels: [N], in that order, positions of the classes.
        ranks: [N], in that order, 0 for the best of its group.
        areas: [N], in that order, square pixels.
    """

    groups: Positions
    boxes: Numbers
    places: Positions
    labels: Positions
    ranks: Positions
    areas: Numbers


def group_objects(truth: GroundTruth, image_ids: Ids, *, class_blind: bool) -> Objects:
    """The objects of some images, in the order of the file within a group.

    Args:
        truth: All objects.
        image_ids: Ascending, each once.
        class_blind: Whether all objects are of one class; they then stand class by class.
    """
    classes = np.array(list(truth.categories), dtype=np.int64)
    images, labels = positions_in(image_ids, truth.images), positions_in(classes, truth.labels)
    kept = _known(images, labels, class_blind=class_blind)
    labels = np.zeros_like(labels) if class_blind else labels
    groups = images * len(classes) + labels
    kept = kept[np.argsort(groups[kept], kind="stable")]
    left_out = truth.crowds | truth.difficult
    return Objects(
        labels[kept],
        groups[kept],
        truth.boxes[kept],
        truth.areas[kept],
        truth.crowds[kept],
        left_out[kept],
    )


def group_found(
    results: Results, truth: GroundTruth, image_ids: Ids, limit: int, *, class_blind: bool
) -> Found:
    """The detections of some images and of known classes.

    Args:
        results: All detections.
        truth: Has the classes.
        image_ids: Ascending, each once.
        limit: Best detections of a group that stay.
        class_blind: Whether all are of one class.
    """
    classes = np.array(list(truth.categories), dtype=np.int64)
    images, labels = positions_in(image_ids, results.images), positions_in(classes, results.labels)
    kept = _known(images, labels, class_blind=class_blind)
    labels = np.zeros_like(labels) if class_blind else labels
    ordered = order_detections(images[kept], labels[kept], results.scores[kept], limit)
    kept, classed = kept[ordered.grouped], ordered.classed
    places = np.empty(len(classed), dtype=np.int64)
    places[classed] = np.arange(len(classed))
    groups, boxes = images[kept] * len(classes) + labels[kept], results.boxes[kept]
    areas = boxes[:, 2] * boxes[:, 3]
    own = labels[kept][classed], ordered.ranks[classed], areas[classed]
    return Found(groups, boxes, places, *own)


def positions_in(ids: Ids, values: Ids) -> Positions:
    """Where values stand among ids, which ascend; -1 where they do not."""
    if not len(ids):
        return np.full(len(values), -1, dtype=np.int64)
    places = np.minimum(np.searchsorted(ids, values), len(ids) - 1)
    return np.where(ids[places] == values, places, -1)


def _known(images: Positions, labels: Positions, *, class_blind: bool) -> Positions:
    """Those of known images and classes; class by class where pycocotools takes them so."""
    known = np.flatnonzero((images >= 0) & (labels >= 0))
    return known[stable_order(labels[known])] if class_blind else known
