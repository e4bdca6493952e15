"""Precision and recall out of matched detections, of all classes and IoU thresholds at once."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mnv2_dense.coco_evaluation.columns import Marks, Numbers, Positions


class Matched(NamedTuple):
    """Detections that match something at one of the settings, class by class, best first.

    Attributes:
        places: [N], where they stand among all detections, ascending.
        hits: Whether they match an object that counts, at each IoU threshold [T, N].
        ignored: Whether they match one that does not [T, N].
    """

    places: Positions
    hits: Marks
    ignored: Marks


class Curves(NamedTuple):
    """What pycocotools calls precision and recall, of one size and one number of detections.

    Attributes:
        precision: [T, R, K], by IoU threshold, recall threshold and class; -1 of a class without
            objects.
        recall: [T, K]
    """

    precision: Numbers
    recall: Numbers


def hits_needed(objects: Positions, recall_thresholds: Numbers) -> Positions:
    """The fewest hits whose recall is at least a threshold: [K, R].

    Args:
        objects: [K], of every class.
        recall_thresholds: [R].
    """
    total = np.maximum(objects, 1)[:, None]
    near = np.ceil(recall_thresholds * total)
    # The product is rounded: pycocotools compares the quotient.
    return np.where(
        (near - 1) / total >= recall_thresholds,
        near - 1,
        np.where(near / total >= recall_thresholds, near, near + 1),
    ).astype(np.int64)


def trace(
    labels: Positions, inside: Marks, matched: Matched, objects: Positions, needed: Positions
) -> Curves:
    """The curves of all classes.

    Precision changes for the better only where a detection hits, so only hits are looked at.

    Args:
        labels: [N] of all detections, ascending; each class begins with its best one.
        inside: [N], whether a detection counts as wrong where it matches nothing: its area is of
            the size, and it is among the best of its image.
        matched: Those that match.
        objects: [K], how many objects of a class count.
        needed: See `hits_needed`.
    """
    classes = len(objects)
    thresholds, columns = np.nonzero(matched.hits)
    own = labels[matched.places[columns]]
    segments = thresholds * classes + own
    bounds = np.searchsorted(segments, np.arange(len(matched.hits) * classes + 1))
    nth = np.arange(1, len(segments) + 1) - bounds[segments]
    first = np.searchsorted(labels, np.arange(classes))
    counted = _count(inside, matched, (thresholds, columns), first, own)
    precision = nth / (counted + np.spacing(1))
    shape = len(matched.hits), classes
    best = _best_from(precision, bounds[:-1].reshape(shape), bounds[1:].reshape(shape), needed)
    recall = np.diff(bounds).reshape(shape) / np.maximum(objects, 1)
    best[:, objects == 0], recall[:, objects == 0] = -1, -1
    return Curves(best.transpose(0, 2, 1), recall)


def _count(
    inside: Marks,
    matched: Matched,
    hits: tuple[Positions, Positions],
    first: Positions,
    classes: Positions,
) -> Positions:
    """How many detections of its class are right or wrong up to each hit.

    Args:
        inside: See `trace`.
        matched: Those that match.
        hits: IoU threshold of each, and its position in `matched`.
        first: The first detection of every class.
        classes: Of each hit.
    """
    thresholds, columns = hits
    # One that matches counts as right wherever it is, or not at all.
    change = np.where(inside[matched.places], -matched.ignored.view(np.int8), matched.hits)
    seen, changes = _running(inside), _running(change)
    first_match = np.searchsorted(matched.places, first)
    since_class = seen[matched.places + 1][columns] - seen[first][classes]
    return (
        since_class
        + changes[thresholds, columns + 1]
        - changes[:, first_match][thresholds, classes]
    )


def _running(values: NDArray[np.bool_ | np.int8]) -> NDArray[np.int32]:
    """Sums along the last axis of none, one, two and so on of the values."""
    sums = np.zeros((*values.shape[:-1], values.shape[-1] + 1), dtype=np.int32)
    np.cumsum(values, axis=-1, out=sums[..., 1:])
    return sums


def _best_from(
    precision: Numbers, starts: Positions, stops: Positions, needed: Positions
) -> Numbers:
    """The best precision from the needed hit on, 0 where there are fewer hits: [T, K, R]."""
    first = starts[..., None] + np.maximum(needed, 1) - 1
    reached = first < stops[..., None]
    bounds = np.concatenate([np.where(reached, first, stops[..., None]), stops[..., None]], axis=-1)
    # Best between one needed hit and the next; what follows a class is not looked at.
    best = np.maximum.reduceat(np.append(precision, 0.0), bounds.ravel()).reshape(bounds.shape)
    best = np.where(reached, best[..., :-1], 0.0)
    return np.maximum.accumulate(best[..., ::-1], axis=-1)[..., ::-1]
