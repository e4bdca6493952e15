"""AP at IoU 0.5 of every class, out of detections that are right or wrong."""

from typing import Final, NamedTuple

import numpy as np

from mnv2_dense.coco_evaluation.columns import Marks, Numbers, Positions
from mnv2_dense.coco_evaluation.curves import Matched, hits_needed, trace
from mnv2_dense.coco_evaluation.options import Options
from mnv2_dense.coco_evaluation.ordering import stable_order

RECALLS: Final = np.array(Options().recall_thresholds)


class Outcome(NamedTuple):
    """Detections as AP sees them.

    Attributes:
        labels: [N], best first over all images.
        hits: [N], whether one finds an object.
        objects: [K], how many objects of each class there are to be found.
    """

    labels: Positions
    hits: Marks
    objects: Positions


class Precisions(NamedTuple):
    """AP of every class.

    Attributes:
        values: [K], 0 of a class without objects.
        gone: [K], whether there is neither an object nor a detection of a class.
    """

    values: Numbers
    gone: Marks

    def average(self, classes: Marks) -> float:
        """The mean over some classes without those that are gone; 1 if all are: no error is left.

        Args:
            classes: [K].
        """
        left = self.values[classes & ~self.gone]
        return float(left.mean()) if len(left) else 1.0


def measure(outcome: Outcome) -> Precisions:
    """The mean of precision at COCO's 101 recalls, class by class."""
    order = stable_order(outcome.labels)
    labels, places = outcome.labels[order], np.flatnonzero(outcome.hits[order])
    hits = np.ones((1, len(places)), dtype=np.bool_)
    curves = trace(
        labels,
        np.ones(len(labels), dtype=np.bool_),
        Matched(places, hits, ~hits),
        outcome.objects,
        hits_needed(outcome.objects, RECALLS),
    )
    found = np.bincount(labels, minlength=len(outcome.objects))
    none = outcome.objects == 0
    return Precisions(np.where(none, 0.0, curves.precision[0].mean(axis=0)), none & (found == 0))
