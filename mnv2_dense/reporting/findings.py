"""What the detections of a set say when they are held against its ground truth."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mnv2_dense.coco_evaluation import evaluate
from mnv2_dense.coco_evaluation.evaluation import COCO, Evaluation
from mnv2_dense.coco_evaluation.records import GroundTruth, Results
from mnv2_dense.coco_evaluation.sizes import in_range
from mnv2_dense.coco_evaluation.summary import unique_names
from mnv2_dense.error_analysis import ErrorAnalysis, analyze_errors, confusion_matrix
from mnv2_dense.reporting.outcomes import Outcomes, find_outcomes


class Findings(NamedTuple):
    """What the detections of a set say when they are held against its ground truth.

    Attributes:
        evaluation: With precision by recall.
        errors: What costs how much AP.
        outcomes: Right or wrong, detection by detection.
        threshold: Of the score, with the highest F1.
        confusion: [K + 1, K + 1] at that threshold; the last row and column stand for nothing.
        names: Of the classes, by category id.
        objects: How many are to be found, by the name of their size.
    """

    evaluation: Evaluation
    errors: ErrorAnalysis
    outcomes: Outcomes
    threshold: float
    confusion: NDArray[np.int64]
    names: list[str]
    objects: dict[str, int]


def study(truth: GroundTruth, results: Results) -> Findings:
    """Measures all that the page shows of a detector.

    Raises:
        UserError: See `coco_evaluation.evaluate`.
    """
    outcomes = find_outcomes(truth, results)
    threshold = outcomes.choose_threshold()
    return Findings(
        evaluate(truth, results),
        analyze_errors(truth, results),
        outcomes,
        threshold,
        confusion_matrix(truth, results, threshold),
        unique_names(truth.categories),
        _count_sizes(truth),
    )


def _count_sizes(truth: GroundTruth) -> dict[str, int]:
    areas = truth.areas[~(truth.crowds | truth.difficult)]
    return {name: int(in_range(areas, ends).sum()) for name, ends in COCO.area_ranges.items()}
