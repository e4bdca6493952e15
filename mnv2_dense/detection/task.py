"""Training and evaluation of a detector in Lightning."""

from collections.abc import Callable
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from mnv2_dense.detection.decode import Decoder
from mnv2_dense.detection.loss import SSDLoss
from mnv2_dense.detection.metrics import CocoDetectionMetric
from mnv2_dense.detection.network import DetectorOutputs
from mnv2_dense.detection.scoring import DetectionScores
from mnv2_dense.structures import DetectionBatch, Detections, ImageSize
from mnv2_dense.training.checkpoint_io import CARD
from mnv2_dense.training.finite import check_finite

PerChannel = tuple[float, float, float]


class DetectionTask(pl.LightningModule):
    """Images to losses in training, to detections and COCO's numbers in evaluation.

    Args:
        network: Normalised images to `DetectorOutputs`.
        loss: Of outputs and targets.
        decoder: Outputs to detections.
        metric: Collects detections over a set; None where only prediction is wanted.
        mean: Subtracted from RGB values 0-255.
        std: Divides them after that.
        make_optimizer: Builds the optimiser for a module.
        learning_rate_factor: Share of the peak rate, of (step, total steps).
        card: What a checkpoint says of itself: version, config, categories.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        network: nn.Module,
        *,
        loss: SSDLoss,
        decoder: Decoder,
        metric: CocoDetectionMetric | None,
        mean: PerChannel,
        std: PerChannel,
        make_optimizer: Callable[[nn.Module], Optimizer],
        learning_rate_factor: Callable[[int, int], float],
        card: dict[str, Any],
        channels_last: bool = False,
    ) -> None:
        super().__init__()
        self.network = network
        self.loss = loss
        self.decoder = decoder
        self.metric = metric
        self.make_optimizer = make_optimizer
        self.learning_rate_factor = learning_rate_factor
        self.card = card
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.scores: DetectionScores | None = None
        self.keep_results = False
        self.results: list[dict[str, Any]] = []
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> DetectorOutputs:
        """Raw predictions for images [B, 3, H, W] uint8 RGB."""
        normalized = (images.float() - self.mean) / self.std
        return self.network(normalized.contiguous(memory_format=self.memory_format))

    def training_step(self, batch: DetectionBatch, _index: int) -> Tensor:
        """Loss of a batch, logged term by term."""
        terms = self.loss(self(batch.images), batch.targets, input_size(batch))
        check_finite(
            terms.total,
            step=self.global_step,
            epoch=self.current_epoch,
            image_ids=batch.image_ids,
        )
        self.log("train/loss", terms.total, prog_bar=True)
        self.log("train/classification", terms.classification, prog_bar=True)
        self.log("train/localization", terms.localization, prog_bar=True)
        return terms.total

    def validation_step(self, batch: DetectionBatch, _index: int) -> None:
        """Collects the detections of a batch."""
        outputs = self(batch.images)
        terms = self.loss(outputs, batch.targets, input_size(batch))
        self.log("val/loss", terms.total, batch_size=len(batch.images), sync_dist=True)
        if self.metric is not None:
            self.metric.update(batch.image_ids, self.decoder(outputs, batch.original_sizes))

    def on_validation_epoch_end(self) -> None:
        """Logs COCO's twelve numbers over the set; with `keep_results`, keeps the detections."""
        if self.metric is None:
            return
        self.scores = self.metric.compute()
        if self.keep_results:
            with self.metric.sync_context():
                self.results = self.metric.results()
        self.metric.reset()
        values = {f"val/{name}": value for name, value in self.scores.summary.items()}
        self.log_dict(values, sync_dist=True)

    def predict_step(self, batch: DetectionBatch, _index: int) -> list[Detections]:
        """Detections of a batch, in pixels of the original images."""
        return self.decoder(self(batch.images), batch.original_sizes)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """The optimiser over the network, its rate changed every step."""
        optimizer = self.make_optimizer(self.network)
        total = int(self.trainer.estimated_stepping_batches)
        schedule = LambdaLR(optimizer, lambda step: self.learning_rate_factor(step, total))
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Puts the card into the checkpoint, so that evaluation needs no YAML."""
        checkpoint[CARD] = self.card


def input_size(batch: DetectionBatch) -> ImageSize:
    """Size of the network's input in a batch."""
    return ImageSize(*batch.images.shape[-2:])
