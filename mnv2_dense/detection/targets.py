"""Pictures and boxes of any format as the detector's index."""

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

from mnv2_dense.detection.index import MIN_BOX_SIDE, BoxReport, DetectionIndex
from mnv2_dense.formats.box_set import BoxSet, Record, place_of
from mnv2_dense.formats.problems import Level, Problem, describe, group, refuse
from mnv2_dense.formats.records import columns_of
from mnv2_dense.ops.texts import LISTED, SharedTexts

ROUNDING = 0.01
"""COCO rounds to hundredths of a pixel: a box that sticks out by less does not count as clipped."""
_PART = 1 << 20
"""Boxes that the rule is applied to at a time: it takes some 200 bytes for each."""


def build_index(boxes: BoxSet, *, upright: bool = False) -> DetectionIndex:
    """The images and boxes that the detector trains on, or is shown.

    Boxes: xywh become xyxy. A box that is not finite, or whose width or height is zero or
    negative, is dropped; the others are clipped to their image, and dropped if that leaves less
    than a pixel on a side. `DetectionIndex.box_report` counts both. Crowds (iscrowd 1) are left
    out before; difficult boxes are trained on. Images without boxes stay: they train as negatives.

    Args:
        boxes: The set.
        upright: Whether boxes were drawn on pictures as EXIF turns them.

    Raises:
        UserError: The set has errors.
    """
    refuse(boxes.problems)
    sizes = _sizes(boxes.images)
    columns = columns_of(boxes.annotations)
    single = np.flatnonzero(~columns.crowds)
    row = _positions(columns.image_ids[single], [image["id"] for image in boxes.images])
    categories = [category.category_id for category in boxes.categories]
    labels = _positions(columns.category_ids[single], categories)
    xyxy, kept, clipped = _apply_in_parts(columns.boxes, single, sizes, row)
    order = np.flatnonzero(kept)[np.argsort(row[kept], kind="stable")]
    return DetectionIndex(
        boxes.image_folder,
        boxes.categories,
        _report(boxes, single, clipped, ~kept),
        image_ids=torch.tensor([image["id"] for image in boxes.images]),
        sizes=torch.from_numpy(sizes),
        boxes=torch.from_numpy(xyxy[order]),
        labels=torch.from_numpy(labels[order]),
        box_offsets=_offsets(np.bincount(row[kept], minlength=len(boxes.images))),
        file_names=SharedTexts([image["file_name"] for image in boxes.images]),
        upright=upright,
        notes=[describe(found) for found in group(_noted(boxes.problems)).values()],
    )


def _noted(problems: Iterable[Problem]) -> Iterable[Problem]:
    return (problem for problem in problems if problem.level == Level.PROBLEM)


def _positions(ids: np.ndarray, listed: Sequence[int]) -> np.ndarray:
    """Where each id stands in a list that has them all, int64 [N]."""
    known = np.array(listed, dtype=np.int64)
    order = np.argsort(known)
    return order[np.searchsorted(known, ids, sorter=order)]


def _apply_in_parts(
    xywh: np.ndarray, chosen: np.ndarray, sizes: np.ndarray, row: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`apply_box_rule` on some boxes, in less memory; the boxes come as float32."""
    boxes = np.empty((len(chosen), 4), dtype=np.float32)
    kept, clipped = np.empty((2, len(chosen)), dtype=np.bool_)
    for start in range(0, len(chosen), _PART):
        part = slice(start, start + _PART)
        found = apply_box_rule(xywh[chosen[part]], sizes[row[part]])
        boxes[part], kept[part], clipped[part] = found
    return boxes, kept, clipped


def apply_box_rule(
    xywh: np.ndarray, sizes: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Clipped xyxy boxes [N, 4], which of them are kept, and which of those were clipped.

    Args:
        xywh: Boxes as given [N, 4], pixels.
        sizes: Height and width of the image of each [N, 2].
    """
    sound = np.asarray((np.isfinite(xywh) & (xywh > [-np.inf, -np.inf, 0, 0])).all(axis=1))
    xyxy = np.where(sound[:, None], xywh, 0.0)
    with np.errstate(over="ignore"):
        xyxy[:, 2:] += xyxy[:, :2]
    limits = sizes[:, [1, 0, 1, 0]]
    boxes = np.clip(xyxy, 0, limits)
    kept = sound & (boxes[:, 2:] - boxes[:, :2] >= MIN_BOX_SIDE).all(axis=1)
    clipped = kept & (np.abs(boxes - xyxy) > ROUNDING).any(axis=1)
    return boxes, np.asarray(kept), np.asarray(clipped)


def _sizes(images: list[Record]) -> np.ndarray:
    sizes = [(image["height"], image["width"]) for image in images]
    return np.array(sizes, dtype=np.int64).reshape(-1, 2)


def _report(
    boxes: BoxSet, single: np.ndarray, clipped: np.ndarray, dropped: np.ndarray
) -> BoxReport:
    def first(chosen: np.ndarray) -> tuple[str, ...]:
        places = single[np.flatnonzero(chosen)[:LISTED]].tolist()
        return tuple(place_of(boxes.annotations[place]) for place in places)

    return BoxReport(
        source=str(boxes.source),
        clipped=int(clipped.sum()),
        dropped=int(dropped.sum()),
        first_clipped=first(clipped),
        first_dropped=first(dropped),
        places=boxes.places,
    )


def _offsets(counts: np.ndarray) -> Tensor:
    return torch.from_numpy(np.concatenate([[0], np.cumsum(counts)]).astype(np.int64))
