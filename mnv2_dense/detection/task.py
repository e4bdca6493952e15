"""Training and evaluation of a detector in Lightning."""

from typing import Any

from torch import nn
from typing_extensions import override

from mnv2_dense.coco_evaluation.records import Results
from mnv2_dense.detection.decode import Decoder
from mnv2_dense.detection.loss import LossTerms, SSDLoss
from mnv2_dense.detection.metrics import CocoDetectionMetric
from mnv2_dense.error_analysis import ErrorAnalysis
from mnv2_dense.structures import DetectionBatch, Detections, ImageSize
from mnv2_dense.training.task import DenseTask


class DetectionTask(DenseTask):
    """Images to losses in training, to detections and COCO's numbers in evaluation.

    Args:
        network: Normalised images to `DetectorOutputs`.
        loss: Of outputs and targets.
        decoder: Outputs to detections.
        metric: Collects detections over a set; None where only prediction is wanted.
        kwargs: See `DenseTask`.
    """

    score = "val/mAP"
    metric: CocoDetectionMetric | None

    def __init__(
        self,
        network: nn.Module,
        *,
        loss: SSDLoss,
        decoder: Decoder,
        metric: CocoDetectionMetric | None,
        **kwargs: Any,
    ) -> None:
        super().__init__(network, metric=metric, **kwargs)
        self.loss = loss
        self.decoder = decoder
        self.results: Results | None = None
        self.errors: ErrorAnalysis | None = None

    def losses(self, batch: DetectionBatch) -> LossTerms:
        """Classification and localisation loss of a batch."""
        return self.loss(self(batch.images), batch.targets, input_size(batch))

    def validation_step(self, batch: DetectionBatch, _index: int) -> None:
        """Collects the detections of a batch."""
        if not batch.image_ids:  # All its pictures are bad.
            self.measure_nothing()
            return
        outputs = self(batch.images)
        terms = self.loss(outputs, batch.targets, input_size(batch))
        self.log("val/loss", terms.total, batch_size=len(batch.images), sync_dist=True)
        if self.metric is not None:
            self.metric.update(batch.image_ids, self.decoder(outputs, batch.original_sizes))

    @override
    def keep(self) -> None:
        """Keeps the detections of all processes and their errors, if `keep_results` says so."""
        if self.keep_results and isinstance(self.metric, CocoDetectionMetric):
            with self.metric.sync_context():
                self.results = self.metric.results()
                self.errors = self.metric.analyze()

    def predict_step(self, batch: DetectionBatch, _index: int) -> list[Detections]:
        """Detections of a batch, in pixels of the original images."""
        return self.decoder(self(batch.images), batch.original_sizes)


def input_size(batch: DetectionBatch) -> ImageSize:
    """Size of the network's input in a batch."""
    return ImageSize(*batch.images.shape[-2:])
