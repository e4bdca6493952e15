"""What is wrong with each detection, and which objects nothing comes near to.

Source: Bolya et al., "TIDE: A General Toolbox for Identifying Object Detection Errors", ECCV 2020,
arXiv:2008.08115, section 2.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mnv2_dense.coco_evaluation.columns import Marks, Numbers, Positions
from mnv2_dense.coco_evaluation.ordering import group_starts
from mnv2_dense.coco_evaluation.overlaps import Candidates
from mnv2_dense.error_analysis.arranging import Arranged
from mnv2_dense.error_analysis.assignment import assign

FOREGROUND: Final = 0.5
"""IoU from which a detection has found an object."""
BACKGROUND: Final = 0.1
"""IoU up to which a detection has nothing to do with an object."""

CLASSIFICATION, LOCALIZATION, BOTH, DUPLICATE, BACKGROUND_ONLY = range(5)
KINDS: Final = ("classification", "localization", "both", "duplicate", "background")
"""Of wrong detections, by the numbers above."""


class Diagnosis(NamedTuple):
    """What became of every detection and object.

    Attributes:
        hits: [N], whether a detection finds an object that counts.
        ignored: [N], whether it is neither right nor wrong: it lies in a crowd of its class, or on
            a difficult object.
        kinds: [N], what is wrong with it, a position in `KINDS`; nothing is where it hits.
        targets: [N], the object that it would find without its error of class or place; -1 of
            other detections.
        granted: [N], whether it would be the one to find that object: nothing else finds it, and it
            is the best of those that come near.
        unfound: [G], objects that count and are not found.
        missed: [G], those of them that are no detection's target.
    """

    hits: Marks
    ignored: Marks
    kinds: NDArray[np.int64]
    targets: Positions
    granted: Marks
    unfound: Marks
    missed: Marks


def diagnose(scene: Arranged) -> Diagnosis:
    """Says what is wrong with what was found, by the rules of `analyze_errors`."""
    pairs = scene.pairs(BACKGROUND)
    same = scene.labels[pairs.detections] == scene.object_labels[pairs.objects]
    taken = _match(scene, pairs, same)
    hits, ignored = (_lies_on(taken, marks) for marks in (scene.counts, ~scene.counts))
    unfound = scene.counts.copy()
    unfound[taken[hits]] = False
    kinds, targets = _name(scene, pairs, same)
    targets[hits] = -1
    missed = unfound.copy()
    missed[targets[targets >= 0]] = False
    return Diagnosis(hits, ignored, kinds, targets, _grant(targets, unfound), unfound, missed)


def _match(scene: Arranged, pairs: Candidates, same: Marks) -> Positions:
    """The object of its class that each detection takes; one that counts before one that does not.

    So does COCO's evaluation, but for the number of detections per image.
    """
    good = np.flatnonzero(same & (pairs.ious >= FOREGROUND))
    detections, objects = pairs.detections[good], pairs.objects[good]
    order = np.lexsort((~scene.counts[objects], detections))
    return assign(detections[order], objects[order], scene.found_images, scene.crowds)


def _lies_on(taken: Positions, marks: Marks) -> Marks:
    """Whether a detection takes an object with a mark."""
    return np.append(marks, False)[taken]  # -1, for none, is the last place.


def _name(scene: Arranged, pairs: Candidates, same: Marks) -> tuple[Positions, Positions]:
    """Kind and target of every detection, as if all were wrong; the first rule that fits names it.

    A wrong detection that overlaps an object of its class by more than `FOREGROUND` came too late.
    """
    counts, number = scene.counts[pairs.objects], len(scene.labels)
    own_iou, own = _best(pairs, counts & same, number)
    other_iou, other = _best(pairs, counts & ~same, number)
    rules = {
        LOCALIZATION: (own_iou >= BACKGROUND) & (own_iou <= FOREGROUND),
        CLASSIFICATION: other_iou >= FOREGROUND,
        DUPLICATE: own_iou > FOREGROUND,
        BACKGROUND_ONLY: np.maximum(own_iou, other_iou) <= BACKGROUND,
    }
    kinds = np.select(list(rules.values()), list(rules), default=BOTH)
    targets = np.select([kinds == LOCALIZATION, kinds == CLASSIFICATION], [own, other], default=-1)
    return kinds, targets


def _best(pairs: Candidates, marks: Marks, number: int) -> tuple[Numbers, Positions]:
    """IoU and object of the best marked pair of each detection; 0 and -1 without one."""
    marked = np.flatnonzero(marks)
    first = marked[group_starts(pairs.detections[marked])]
    ious, objects = np.zeros(number), np.full(number, -1)
    ious[pairs.detections[first]] = pairs.ious[first]
    objects[pairs.detections[first]] = pairs.objects[first]
    return ious, objects


def _grant(targets: Positions, unfound: Marks) -> Marks:
    """Marks the best detection of each target that nothing finds, whatever is wrong with it."""
    after = np.flatnonzero(_lies_on(targets, unfound))
    _, first = np.unique(targets[after], return_index=True)
    granted = np.zeros(len(targets), dtype=np.bool_)
    granted[after[first]] = True
    return granted
