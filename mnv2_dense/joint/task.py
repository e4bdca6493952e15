"""Training and evaluation of a joint network in Lightning."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor

from mnv2_dense.coco_evaluation.records import Results
from mnv2_dense.detection.decode import Decoder
from mnv2_dense.detection.loss import SSDLoss
from mnv2_dense.detection.network import DetectorOutputs
from mnv2_dense.detection.task import input_size
from mnv2_dense.error_analysis import ErrorAnalysis
from mnv2_dense.joint.inference import WholePictures
from mnv2_dense.joint.metrics import JointMetric
from mnv2_dense.joint.network import JointNetwork, JointOutputs
from mnv2_dense.segmentation.loss import SegmentationLoss
from mnv2_dense.segmentation.metrics import PictureScores
from mnv2_dense.segmentation.network import SegmenterOutputs
from mnv2_dense.segmentation.strips import assemble
from mnv2_dense.segmentation.task import measure_strips
from mnv2_dense.structures import DetectionBatch, Detections, ImageSize, SegmentationBatch
from mnv2_dense.training.task import DenseTask, LossTerms

JointBatch = DetectionBatch | SegmentationBatch
"""Of one data set or of the other; its type says of which."""


@dataclass(frozen=True)
class TurnTerms:
    """The loss of a batch: that of its own head, times a weight.

    Attributes:
        terms: Of the head.
        name: Of the sum, in the log: `detection_loss`.
        weight: Factor on all of them.
    """

    terms: LossTerms
    name: str
    weight: float = 1.0

    @property
    def total(self) -> Tensor:
        """What is minimised."""
        return self.weight * self.terms.total

    def _asdict(self) -> dict[str, Any]:
        """The head's own loss and its terms, without the weight."""
        return {self.name: self.terms.total, **self.terms._asdict()}


class JointPrediction(NamedTuple):
    """What both heads see in a picture: boxes in its pixels, and its label map [H, W] uint8."""

    detections: Detections
    label_map: Tensor


class JointTask(DenseTask):
    """Batches of two data sets to losses in training, pictures to boxes and label maps.

    A step learns from a batch of one of the sets: the backbone and that set's head are changed, the
    other head has no gradient and stays as it is, its momentum and decay included. Both sets are
    measured, each by its own metric.

    Args:
        network: Normalised images to `JointOutputs`.
        detection_loss: Of detection's outputs and targets.
        segmentation_loss: Of segmentation's outputs and label maps.
        segmentation_weight: Factor on the latter.
        decoder: Outputs to detections.
        inference: Shows pictures, and reads label maps.
        metric: Collects what is seen in both validation sets; None where only prediction is wanted.
        kwargs: See `DenseTask`.
    """

    score = "val/score"
    takes_turns = True
    network: JointNetwork
    metric: JointMetric | None

    def __init__(
        self,
        network: JointNetwork,
        *,
        detection_loss: SSDLoss,
        segmentation_loss: SegmentationLoss,
        segmentation_weight: float,
        decoder: Decoder,
        inference: WholePictures,
        metric: JointMetric | None,
        **kwargs: Any,
    ) -> None:
        super().__init__(network, metric=metric, **kwargs)
        self.detection_loss = detection_loss
        self.segmentation_loss = segmentation_loss
        self.segmentation_weight = segmentation_weight
        self.decoder = decoder
        self.inference = inference
        self.results: Results | None = None
        self.errors: ErrorAnalysis | None = None
        masked = () if metric is None else metric.segmentation.categories
        self.picture_scores = PictureScores(len(masked))

    def losses(self, batch: JointBatch) -> TurnTerms:
        """The loss of the head that the batch is for."""
        images = self.normalize(batch.images)
        if isinstance(batch, DetectionBatch):
            outputs = _boxes(self.network(images, "detection"))
            terms = self.detection_loss(outputs, batch.targets, input_size(batch))
            return TurnTerms(terms, "detection_loss")
        outputs = _maps(self.network(images, "segmentation"))
        terms = self.segmentation_loss(outputs, batch.label_maps)
        return TurnTerms(terms, "segmentation_loss", self.segmentation_weight)

    def validation_step(self, batch: JointBatch, _index: int, dataloader_idx: int = 0) -> None:
        """Collects the detections of a batch, or counts its pixels at their original size."""
        if isinstance(batch, DetectionBatch):
            self._validate_boxes(batch)
        else:
            self._validate_maps(batch)

    def _validate_boxes(self, batch: DetectionBatch) -> None:
        if not batch.image_ids:  # All its pictures are bad.
            self._log("detection_loss", 0.0, 0)
            return
        outputs = _boxes(self.network(self.normalize(batch.images), "detection"))
        terms = self.detection_loss(outputs, batch.targets, input_size(batch))
        self._log("detection_loss", terms.total, len(batch.images))
        if self.metric is not None:
            found = self.decoder(outputs, batch.original_sizes)
            self.metric.detection.update(batch.image_ids, found)

    def _validate_maps(self, batch: SegmentationBatch) -> None:
        if not batch.image_ids:
            self._log("segmentation_loss", 0.0, 0)
            return
        sizes = batch.original_sizes
        shown = self.inference.show(self.normalize(batch.images), sizes)
        shown = shown.contiguous(memory_format=self.memory_format)
        outputs = _maps(self.network(shown, "segmentation"))
        metric = None if self.metric is None else self.metric.segmentation
        pictures = self.picture_scores if self.keep_results else None
        strips = self.inference.strips(outputs, sizes)
        loss, pixels = measure_strips(strips, batch, metric, pictures)
        self._log("segmentation_loss", loss, pixels)

    def _log(self, name: str, value: Tensor | float, weight: int) -> None:
        """Logs a loss of validation, in which each data set has names of its own."""
        self.log(f"val/{name}", value, batch_size=weight, sync_dist=True, add_dataloader_idx=False)

    def keep(self) -> None:
        """Keeps detections, their errors and scores of pictures, if `keep_results` says so."""
        if self.keep_results and self.metric is not None:
            with self.metric.detection.sync_context():
                self.results = self.metric.detection.results()
                self.errors = self.metric.detection.analyze()
            self.picture_scores.gather()

    def see(self, images: Tensor, sizes: Sequence[ImageSize]) -> list[JointPrediction]:
        """What both heads see in pictures, out of one pass of the backbone.

        Args:
            images: [B, 3, H, W] uint8 RGB, resized to the network's input.
            sizes: Of the pictures as they were before.
        """
        outputs: JointOutputs = self(images)
        found = self.decoder(_boxes(outputs), sizes)
        label_maps = assemble(self.inference.strips(_maps(outputs), sizes), sizes)
        return [JointPrediction(*each) for each in zip(found, label_maps, strict=True)]

    def predict_step(self, batch: DetectionBatch, _index: int) -> list[JointPrediction]:
        """Boxes and label maps of a batch, at the original size of each picture."""
        return self.see(batch.images, batch.original_sizes)


def _boxes(outputs: JointOutputs) -> DetectorOutputs:
    assert outputs.detection is not None
    return outputs.detection


def _maps(outputs: JointOutputs) -> SegmenterOutputs:
    assert outputs.segmentation is not None
    return outputs.segmentation
