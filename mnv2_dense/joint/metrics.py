"""The scores of both columns over their own sets, and their mean."""

from typing import Any, NamedTuple

from torch import nn

from mnv2_dense.detection.metrics import CocoDetectionMetric
from mnv2_dense.detection.scoring import DetectionScores
from mnv2_dense.segmentation.metrics import SegmentationMetric
from mnv2_dense.segmentation.scoring import SegmentationScores


class JointScores(NamedTuple):
    """What both heads reach, each on the validation set of its own data."""

    detection: DetectionScores
    segmentation: SegmentationScores

    @property
    def score(self) -> float:
        """The mean of mAP and mIoU, which chooses the best checkpoint.

        Where one of them cannot be measured (-1, or no number), it is what it is, and the mean
        with it.
        """
        return (self.detection.summary["mAP"] + self.segmentation.summary["mIoU"]) / 2

    @property
    def summary(self) -> dict[str, float]:
        """The numbers of both that are logged, by name, and their `score`."""
        return {**self.detection.summary, **self.segmentation.summary, "score": self.score}

    def as_dict(self) -> dict[str, Any]:
        """Everything, as JSON values."""
        return {
            "score": self.score,
            "detection": self.detection.as_dict(),
            "segmentation": self.segmentation.as_dict(),
        }


class JointMetric(nn.Module):
    """The metrics of both columns; each is told of batches of its own set.

    Args:
        detection: Collects detections.
        segmentation: Counts pixels.
    """

    detection: CocoDetectionMetric
    segmentation: SegmentationMetric

    def __init__(self, detection: CocoDetectionMetric, segmentation: SegmentationMetric) -> None:
        super().__init__()
        self.detection = detection
        self.segmentation = segmentation

    def compute(self) -> JointScores:
        """Scores over what all processes have seen."""
        return JointScores(self.detection.compute(), self.segmentation.compute())

    def reset(self) -> None:
        """Forgets both sets."""
        self.detection.reset()
        self.segmentation.reset()
