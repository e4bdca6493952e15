"""Training and evaluation of a segmenter in Lightning."""

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import override

from mnv2_dense.segmentation.inference import Inference
from mnv2_dense.segmentation.loss import LossTerms, SegmentationLoss
from mnv2_dense.segmentation.metrics import PictureScores, SegmentationMetric
from mnv2_dense.segmentation.network import OtherStride, SegmenterOutputs
from mnv2_dense.segmentation.strips import Strip, assemble
from mnv2_dense.structures import IGNORE_INDEX, SegmentationBatch
from mnv2_dense.training.task import DenseTask


class SegmentationTask(DenseTask):
    """Images to losses in training, to label maps and mIoU in evaluation.

    Args:
        network: Normalised images to `SegmenterOutputs`.
        loss: Of outputs and label maps.
        inference: Pictures of any size to class probabilities.
        metric: Counts pixels over a set; None where only prediction is wanted.
        other_stride: Runs the network's weights at evaluation's output stride; None keeps that
            of training.
        kwargs: See `DenseTask`.
    """

    score = "val/mIoU"
    metric: SegmentationMetric | None

    def __init__(
        self,
        network: nn.Module,
        *,
        loss: SegmentationLoss,
        inference: Inference,
        metric: SegmentationMetric | None,
        other_stride: OtherStride | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(network, metric=metric, **kwargs)
        self.loss = loss
        self.inference = inference
        self.other_stride = other_stride
        self.picture_scores = PictureScores(0 if metric is None else len(metric.categories))

    def losses(self, batch: SegmentationBatch) -> LossTerms:
        """Cross-entropy of a batch, and the auxiliary head's."""
        return self.loss(self(batch.images), batch.label_maps)

    def validation_step(self, batch: SegmentationBatch, _index: int) -> None:
        """Counts the pixels of a batch, at the original size of each picture.

        The loss that is logged is the cross-entropy of the averaged probabilities, without
        class weights or pixel mining.
        """
        if not batch.image_ids:  # All its pictures are bad.
            self.measure_nothing()
            return
        pictures = self.picture_scores if self.keep_results else None
        loss, pixels = measure_strips(self._strips(batch), batch, self.metric, pictures)
        self.log("val/loss", loss, batch_size=pixels, sync_dist=True)

    @override
    def keep(self) -> None:
        """Keeps the score of every picture of all processes, if `keep_results` says so."""
        if self.keep_results:
            self.picture_scores.gather()

    def predict_step(self, batch: SegmentationBatch, _index: int) -> list[Tensor]:
        """Label maps [H, W] uint8 of a batch, at the original size of each picture."""
        return assemble(self._strips(batch), batch.original_sizes)

    def _strips(self, batch: SegmentationBatch) -> Iterator[Strip]:
        return self.inference(self._run, self.normalize(batch.images), batch.original_sizes)

    def _run(self, normalized: Tensor) -> SegmenterOutputs:
        normalized = normalized.contiguous(memory_format=self.memory_format)
        if self.other_stride is None:
            return self.network(normalized)
        return self.other_stride(self.network, normalized)


def measure_strips(
    strips: Iterable[Strip],
    batch: SegmentationBatch,
    metric: SegmentationMetric | None,
    pictures: PictureScores | None = None,
) -> tuple[Tensor, int]:
    """Counts what is seen in a batch.

    Args:
        strips: That cover its pictures.
        batch: Has their true classes.
        metric: Counts the pixels, where there is one.
        pictures: Counts them picture by picture, where that is asked for.

    Returns:
        The mean cross-entropy of the labelled pixels, and their number (1 where there is none):
        weighed by it, neither batches nor processes change the mean over the set.
    """
    total = torch.zeros((), device=batch.images.device)
    pixels = torch.zeros((), dtype=torch.int64, device=batch.images.device)
    for strip in strips:
        reference = _under(strip, batch)
        total += strip.negative_log_likelihood(reference)
        pixels += (reference != IGNORE_INDEX).sum()
        if metric is not None:
            labels = strip.labels()
            metric.update(labels, reference)
            if pictures is not None:
                pictures.update(batch.image_ids[strip.position], labels, reference)
    counted = pixels.clamp(min=1)
    return total / counted, int(counted)


def _under(strip: Strip, batch: SegmentationBatch) -> Tensor:
    """The part of its picture's label map that a strip covers."""
    rows, columns = strip.size
    down, across = slice(strip.top, strip.top + rows), slice(strip.left, strip.left + columns)
    return batch.label_maps[strip.position, down, across]
