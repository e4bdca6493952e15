"""Objects and detections of the images to look at, image by image."""

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from mnv2_dense.coco_evaluation.columns import Ids, Marks, Numbers, Positions
from mnv2_dense.coco_evaluation.evaluation import images_to_measure
from mnv2_dense.coco_evaluation.files import read_ground_truth, read_results
from mnv2_dense.coco_evaluation.grouping import positions_in
from mnv2_dense.coco_evaluation.instances import ground_truth_of
from mnv2_dense.coco_evaluation.ordering import order_detections, stable_order
from mnv2_dense.coco_evaluation.overlaps import Candidates, find_candidates
from mnv2_dense.coco_evaluation.records import GroundTruth, Results, check_finite, results_of

MAX_DETECTIONS: Final = 100
"""Best detections of an image that are looked at, of all classes together."""

Truth = GroundTruth | Mapping[str, Any] | str | Path
"""A COCO instances file, its content, or its columns."""
Detected = Results | Iterable[Mapping[str, Any]] | str | Path
"""A COCO results file, its content, or its columns."""


class Arranged(NamedTuple):
    """What is to be found and what was found, both by image.

    Attributes:
        categories: Name by category id, ascending; a label is a position among them.
        images: How many there are.
        object_images: [G], positions of their images, ascending.
        object_labels: [G].
        object_boxes: [G, 4], x, y, width, height in pixels.
        crowds: [G].
        counts: [G], whether an object is to be found: it is neither a crowd nor difficult.
        found_images: [N], positions of their images, ascending; in an image the best one is first.
        labels: [N].
        boxes: [N, 4], as those of the objects.
        scores: [N].
    """

    categories: dict[int, str]
    images: int
    object_images: Positions
    object_labels: Positions
    object_boxes: Numbers
    crowds: Marks
    counts: Marks
    found_images: Positions
    labels: Positions
    boxes: Numbers
    scores: Numbers

    def pairs(self, least: float) -> Candidates:
        """Detections and objects of one image that overlap with at least some IoU."""
        found, objects = (self.found_images, self.boxes), (self.object_images, self.object_boxes)
        return find_candidates(found, objects, self.crowds, least)


def arrange(
    truth: Truth,
    results: Detected,
    image_ids: Collection[int] | None,
    score_threshold: float = -np.inf,
) -> Arranged:
    """The objects and the best detections of every image.

    Args:
        truth: See `analyze_errors`.
        results: See `analyze_errors`.
        image_ids: See `analyze_errors`.
        score_threshold: Least score of detections that stay.

    Raises:
        UserError: See `analyze_errors`.
    """
    known, found = _open_truth(truth), _open_results(results)
    check_finite(found)
    measured = images_to_measure(known, found, image_ids)
    classes = np.array(list(known.categories), dtype=np.int64)
    kept, object_images, object_labels = _place(measured, classes, known)
    by_image = stable_order(object_images)
    objects = kept[by_image]
    best, images, labels = _place(measured, classes, found)
    good = found.scores[best] >= score_threshold
    best, images, labels = best[good], images[good], labels[good]
    # All of one class: the limit is of an image.
    together = np.zeros_like(labels)
    order = order_detections(images, together, found.scores[best], MAX_DETECTIONS).grouped
    return Arranged(
        known.categories,
        len(measured),
        object_images[by_image],
        object_labels[by_image],
        known.boxes[objects],
        known.crowds[objects],
        ~(known.crowds | known.difficult)[objects],
        images[order],
        labels[order],
        found.boxes[best][order],
        found.scores[best][order],
    )


def _place(
    image_ids: Ids, classes: Ids, part: GroundTruth | Results
) -> tuple[Positions, Positions, Positions]:
    """Which are of the images and of known classes; their images and labels as positions."""
    images, labels = positions_in(image_ids, part.images), positions_in(classes, part.labels)
    kept = np.flatnonzero((images >= 0) & (labels >= 0))
    return kept, images[kept], labels[kept]


def _open_truth(truth: Truth) -> GroundTruth:
    if isinstance(truth, str | Path):
        return read_ground_truth(Path(truth))
    return truth if isinstance(truth, GroundTruth) else ground_truth_of(truth)


def _open_results(results: Detected) -> Results:
    if isinstance(results, str | Path):
        return read_results(Path(results))
    return results if isinstance(results, Results) else results_of(results)
