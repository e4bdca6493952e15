"""Training and evaluation of a segmenter in Lightning."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from mnv2_dense.segmentation.inference import Inference
from mnv2_dense.segmentation.loss import LossTerms, SegmentationLoss
from mnv2_dense.segmentation.metrics import SegmentationMetric
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
        total = torch.zeros((), device=self.device)
        pixels = torch.zeros((), dtype=torch.int64, device=self.device)
        for strip in self._strips(batch):
            reference = _under(strip, batch)
            total += strip.negative_log_likelihood(reference)
            pixels += (reference != IGNORE_INDEX).sum()
            if self.metric is not None:
                self.metric.update(strip.labels(), reference)
        counted = pixels.clamp(min=1)
        # Weighed by pixels, so that neither batches nor processes change the mean over the set.
        self.log("val/loss", total / counted, batch_size=int(counted), sync_dist=True)

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


def _under(strip: Strip, batch: SegmentationBatch) -> Tensor:
    """The part of its picture's label map that a strip covers."""
    rows, columns = strip.size
    down, across = slice(strip.top, strip.top + rows), slice(strip.left, strip.left + columns)
    return batch.label_maps[strip.position, down, across]
