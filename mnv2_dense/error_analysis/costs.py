"""What errors of each kind cost, over all classes or some."""

from typing import Final, NamedTuple

import numpy as np

from mnv2_dense.coco_evaluation.columns import Marks, Positions
from mnv2_dense.coco_evaluation.summary import UNDEFINED
from mnv2_dense.error_analysis.arranging import Arranged
from mnv2_dense.error_analysis.diagnosis import KINDS, Diagnosis
from mnv2_dense.error_analysis.oracles import Oracles
from mnv2_dense.error_analysis.precision import Precisions, measure
from mnv2_dense.error_analysis.report import Loss

_MISSED, _POSITIVES, _NEGATIVES = "missed", "false positives", "false negatives"


class Cost(NamedTuple):
    """AP and what is lost of it; see `ErrorAnalysis`."""

    ap50: float
    errors: dict[str, Loss]
    false_positives: Loss
    false_negatives: Loss


class Costs:
    """AP as it is and with errors of one kind fixed, by class.

    Args:
        scene: What was found.
        diagnosis: What is wrong with it.

    Attributes:
        objects: [K], how many there are to be found.
    """

    def __init__(self, scene: Arranged, diagnosis: Diagnosis) -> None:
        oracles = Oracles(scene, diagnosis)
        self.objects: Final = oracles.objects
        self._now = measure(oracles.fix_nothing())
        self._fixed = _fix(oracles)
        self._counts = _count(scene, diagnosis)

    def sum_up(self, classes: Marks) -> Cost:
        """The mean over some classes with objects; nothing is lost where there are none.

        Args:
            classes: [K].
        """
        averaged = classes & (self.objects > 0)
        now = self._now.average(averaged) if averaged.any() else UNDEFINED
        losses = {
            name: Loss(
                after.average(averaged) - now if averaged.any() else 0.0,
                int(self._counts[name][classes].sum()),
            )
            for name, after in self._fixed.items()
        }
        kinds = {name: losses[name] for name in (*KINDS, _MISSED)}
        return Cost(now, kinds, losses[_POSITIVES], losses[_NEGATIVES])


def _fix(oracles: Oracles) -> dict[str, Precisions]:
    """AP of every class by what is fixed."""
    outcomes = {
        **{kind: oracles.fix(place) for place, kind in enumerate(KINDS)},
        _MISSED: oracles.fix_missed(),
        _POSITIVES: oracles.fix_false_positives(),
        _NEGATIVES: oracles.fix_false_negatives(),
    }
    return {name: measure(outcome) for name, outcome in outcomes.items()}


def _count(scene: Arranged, diagnosis: Diagnosis) -> dict[str, Positions]:
    """Errors of every class, by the same names."""
    wrong, number = ~diagnosis.hits, len(scene.categories)
    found = {kind: wrong & (diagnosis.kinds == place) for place, kind in enumerate(KINDS)}
    found[_POSITIVES] = wrong & ~diagnosis.ignored
    objects = {_MISSED: diagnosis.missed, _NEGATIVES: diagnosis.unfound}
    return {
        **{name: np.bincount(scene.labels[own], minlength=number) for name, own in found.items()},
        **{
            name: np.bincount(scene.object_labels[own], minlength=number)
            for name, own in objects.items()
        },
    }
