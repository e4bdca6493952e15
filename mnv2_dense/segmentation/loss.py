"""Cross-entropy over pixels, with class weights and hard-pixel mining."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mnv2_dense.ops.processes import mean_over_processes
from mnv2_dense.ops.resize import resize_map
from mnv2_dense.segmentation.network import SegmenterOutputs
from mnv2_dense.structures import IGNORE_INDEX, ImageSize


class LossTerms(NamedTuple):
    """Scalars, each already weighted; `auxiliary` is None where there is no auxiliary head."""

    cross_entropy: Tensor
    auxiliary: Tensor | None = None

    @property
    def total(self) -> Tensor:
        """What is minimised."""
        return self.cross_entropy if self.auxiliary is None else self.cross_entropy + self.auxiliary


class SegmentationLoss(nn.Module):
    """Mean cross-entropy of the labelled pixels of a batch, 0 where every pixel is void.

    In training the batch is that of all processes: the mean of their losses is this one.

    Args:
        class_weights: One weight per class, on the loss of its pixels and in the mean's
            denominator; None weighs all alike.
        hard_pixel_share: Share of the batch's labelled pixels that count, those of the highest
            weighted loss, above 0 and at most 1; each process chooses among its own.
        auxiliary_weight: Factor on the loss of the auxiliary head.
        align_corners: How logits are up-sampled, see `resize_map`.

    Raises:
        ValueError: `hard_pixel_share` is out of its range.

    Source: DeepLab release, `train_utils.py` (`top_k_percent_pixels` for hard pixels).
    Differs from the release: the denominator is the sum of the weights, as in PyTorch, not the
    number of pixels, so that class weights only move the balance between classes.
    """

    class_weights: Tensor | None

    def __init__(
        self,
        *,
        class_weights: Sequence[float] | None = None,
        hard_pixel_share: float = 1.0,
        auxiliary_weight: float = 0.4,
        align_corners: bool = True,
    ) -> None:
        super().__init__()
        if not 0 < hard_pixel_share <= 1:
            raise ValueError(f"hard_pixel_share {hard_pixel_share}: above 0, at most 1")
        weights = None if class_weights is None else torch.tensor(class_weights).float()
        self.register_buffer("class_weights", weights, persistent=False)
        self.hard_pixel_share = hard_pixel_share
        self.auxiliary_weight = auxiliary_weight
        self.align_corners = align_corners

    def forward(self, outputs: SegmenterOutputs, label_maps: Tensor) -> LossTerms:
        """Loss of a batch; label_maps [B, H, W] uint8, `IGNORE_INDEX` for void."""
        labels = label_maps.long()
        cross_entropy = self.measure(outputs.class_logits, labels)
        if outputs.auxiliary_logits is None:
            return LossTerms(cross_entropy)
        auxiliary = self.measure(outputs.auxiliary_logits, labels)
        return LossTerms(cross_entropy, self.auxiliary_weight * auxiliary)

    def measure(self, class_logits: Tensor, labels: Tensor) -> Tensor:
        """Mean loss of logits [B, C, h, w], up-sampled to labels [B, H, W] int64."""
        # Class by class, and not channels last: softmax is several times faster so on a CPU.
        planes = class_logits.contiguous()
        logits = resize_map(planes, ImageSize(*labels.shape[1:]), self.align_corners)
        losses = F.cross_entropy(
            logits, labels, self.class_weights, ignore_index=IGNORE_INDEX, reduction="none"
        )
        weights = self.weigh(labels)
        if self.hard_pixel_share < 1:
            labelled = labels != IGNORE_INDEX
            losses, weights = losses[labelled], weights[labelled]
            kept = self.find_hardest(losses.detach())
            losses, weights = losses[kept], weights[kept]
        weight = weights.sum()
        if self.training:  # In validation the processes have unequally many batches.
            weight = mean_over_processes(weight)
        # Where nothing counts the sum of the losses is 0, and so is the quotient.
        return losses.sum() / weight.clamp(min=torch.finfo(weights.dtype).tiny)

    def weigh(self, labels: Tensor) -> Tensor:
        """Weight of every pixel in the mean's denominator, 0 for void."""
        labelled = labels != IGNORE_INDEX
        if self.class_weights is None:
            return labelled.float()
        return self.class_weights[labels.masked_fill(~labelled, 0)] * labelled

    def find_hardest(self, losses: Tensor) -> Tensor:
        """Indices of the pixels that count, in losses [P] of the labelled ones."""
        count = math.ceil(self.hard_pixel_share * len(losses))
        return losses.topk(count, sorted=False).indices
