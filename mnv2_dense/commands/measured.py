"""What an evaluation without a task of the column leaves behind."""

from dataclasses import dataclass
from typing import Any

from mnv2_dense.coco_evaluation.records import Results
from mnv2_dense.detection.metrics import CocoDetectionMetric
from mnv2_dense.error_analysis import ErrorAnalysis
from mnv2_dense.segmentation.metrics import PictureScores, SegmentationMetric


@dataclass
class Measured:
    """What an evaluation leaves, where a column looks for it in a task.

    Attributes:
        metric: Of the task; it has seen everything.
        card: Config and classes, as of a checkpoint.
        scores: That the metric computed.
        results: Of a detector: COCO results.
        errors: Of a detector: where AP is lost.
        picture_scores: Of a segmenter: those of every picture, where they were kept.
    """

    metric: CocoDetectionMetric | SegmentationMetric
    card: dict[str, Any]
    scores: Any = None
    results: Results | None = None
    errors: ErrorAnalysis | None = None
    picture_scores: PictureScores | None = None
