"""Detections and objects as they were if errors of one kind were fixed.

Source: Bolya et al., arXiv:2008.08115, section 2.
"""

import numpy as np

from mnv2_dense.coco_evaluation.columns import Marks, Positions
from mnv2_dense.error_analysis.arranging import Arranged
from mnv2_dense.error_analysis.diagnosis import CLASSIFICATION, Diagnosis
from mnv2_dense.error_analysis.precision import Outcome


class Oracles:
    """Fixes errors of one kind at a time.

    Args:
        scene: What was found.
        diagnosis: What is wrong with it.

    Attributes:
        objects: [K], how many of each class there are to be found.
    """

    def __init__(self, scene: Arranged, diagnosis: Diagnosis) -> None:
        self._scene = scene
        self._diagnosis = diagnosis
        self._ranking = np.argsort(-scene.scores, kind="stable")
        self.objects = self._count(scene.counts)

    def fix_nothing(self) -> Outcome:
        """As it is."""
        return self._rank(self._scene.labels, self._diagnosis.hits, ~self._diagnosis.ignored)

    def fix(self, kind: int) -> Outcome:
        """Without one kind of wrong detections.

        One that would be the one to find its target finds it, with the class of the target and with
        its own score, also where it is ignored; the others are left out.

        Args:
            kind: A position in `KINDS`.
        """
        found = self._diagnosis
        wrong = ~found.hits & (found.kinds == kind)
        right, labels = wrong & found.granted, self._scene.labels
        if kind == CLASSIFICATION:
            labels = labels.copy()
            labels[right] = self._scene.object_labels[found.targets[right]]
        return self._rank(labels, found.hits | right, right | ~(wrong | found.ignored))

    def fix_missed(self) -> Outcome:
        """Without the objects that nothing comes near to."""
        return self.fix_nothing()._replace(
            objects=self.objects - self._count(self._diagnosis.missed)
        )

    def fix_false_positives(self) -> Outcome:
        """Without any wrong detection."""
        return self._rank(self._scene.labels, self._diagnosis.hits, self._diagnosis.hits)

    def fix_false_negatives(self) -> Outcome:
        """Without the objects that are not found."""
        return self.fix_nothing()._replace(
            objects=self.objects - self._count(self._diagnosis.unfound)
        )

    def _count(self, marks: Marks) -> Positions:
        """Objects with a mark, by class."""
        return np.bincount(self._scene.object_labels[marks], minlength=len(self._scene.categories))

    def _rank(self, labels: Positions, hits: Marks, kept: Marks) -> Outcome:
        order = self._ranking[kept[self._ranking]]
        return Outcome(labels[order], hits[order], self.objects)
