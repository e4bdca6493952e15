"""Right or wrong, detection by detection and picture by picture, at one IoU."""

from typing import NamedTuple

import numpy as np

from mnv2_dense.coco_evaluation.columns import Ids, Marks, Numbers
from mnv2_dense.coco_evaluation.grouping import group_objects, positions_in
from mnv2_dense.coco_evaluation.matching import match
from mnv2_dense.coco_evaluation.ordering import group_starts
from mnv2_dense.coco_evaluation.overlaps import find_candidates
from mnv2_dense.coco_evaluation.records import GroundTruth, Results

MATCH_IOU = 0.5
THRESHOLDS = tuple(percent / 100 for percent in range(1, 100))
"""Of the score, among which the best one is chosen."""
USUAL_THRESHOLD = 0.3
"""Where there is nothing to choose it by."""


class Outcomes(NamedTuple):
    """Which detections are right, each with the object that it takes as in COCO's evaluation.

    Detections that match a crowd or a difficult object are neither right nor wrong, and are left
    out, as are such objects.

    Attributes:
        images: [N], image ids.
        scores: [N].
        hits: [N], whether it matches an object of its class.
        objects: [M], the image id of every object to be found.
    """

    images: Ids
    scores: Numbers
    hits: Marks
    objects: Ids

    def choose_threshold(self) -> float:
        """The score threshold of the highest F1 over the whole set; of several, the lowest."""
        counts = [self.total(threshold) for threshold in THRESHOLDS]
        f1 = [f1_of(*each) or 0.0 for each in counts]
        return THRESHOLDS[int(np.argmax(f1))] if max(f1) > 0 else USUAL_THRESHOLD

    def total(self, threshold: float) -> tuple[int, int, int]:
        """Right and wrong detections, and objects not found, at a score threshold."""
        kept = self.scores >= threshold
        right = int((kept & self.hits).sum())
        return right, int(kept.sum()) - right, len(self.objects) - right

    def by_picture(self, threshold: float) -> dict[int, tuple[int, int, int]]:
        """The same of every picture with an object or a detection, by its id."""
        kept = self.scores >= threshold
        ids = np.unique(np.concatenate([self.objects, self.images[kept]]))
        columns = [
            np.bincount(positions_in(ids, images), minlength=len(ids))
            for images in (self.images[kept & self.hits], self.images[kept], self.objects)
        ]
        rows = zip(ids.tolist(), *(column.tolist() for column in columns), strict=True)
        return {image: (right, kept - right, own - right) for image, right, kept, own in rows}


def f1_of(right: int, wrong: int, missed: int) -> float | None:
    """Harmonic mean of precision and recall; None where there is nothing to find or found."""
    total = 2 * right + wrong + missed
    return 2 * right / total if total else None


def find_outcomes(truth: GroundTruth, results: Results) -> Outcomes:
    """Matches all detections, in the order of their scores, at `MATCH_IOU`.

    What holds at a score threshold follows: those below it come later and take nothing from those
    above.

    Args:
        truth: What is to be found.
        results: What was found; other images and unknown classes are passed over.
    """
    classes = np.array(list(truth.categories), dtype=np.int64)
    images = positions_in(truth.image_ids, results.images)
    labels = positions_in(classes, results.labels)
    known = np.flatnonzero((images >= 0) & (labels >= 0))
    groups = images[known] * len(classes) + labels[known]
    order = np.lexsort((-results.scores[known], groups))
    kept, groups = known[order], groups[order]
    objects = group_objects(truth, truth.image_ids, class_blind=False)
    one, other = (groups, results.boxes[kept]), (objects.groups, objects.boxes)
    candidates = find_candidates(one, other, objects.crowds, MATCH_IOU)
    passing = np.ones(len(candidates.ious), dtype=np.uint64)
    counting = (~objects.left_out).astype(np.uint64)
    owners = groups[candidates.detections]
    matches = match(candidates, owners, passing, counting, objects.crowds)
    places = candidates.detections[group_starts(candidates.detections)]
    hits, ignored = (np.zeros(len(kept), dtype=np.bool_) for _ in range(2))
    hits[places], ignored[places] = matches.hits > 0, matches.ignored > 0
    found = kept[~ignored]
    owned = truth.images[~(truth.crowds | truth.difficult)]
    return Outcomes(results.images[found], results.scores[found], hits[~ignored], owned)
