"""SSD's loss: classification with hard-negative mining or focal, and smooth L1."""

from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import nms, sigmoid_focal_loss

from mnv2_dense.detection.coding import decode_boxes, encode_boxes
from mnv2_dense.detection.matching import UNMATCHED, match_anchors
from mnv2_dense.detection.network import DetectorOutputs
from mnv2_dense.ops.boxes import center_to_corner, corner_to_center, size_scale
from mnv2_dense.ops.processes import mean_over_processes
from mnv2_dense.structures import BatchTargets, ImageSize

Classification = Literal["softmax", "sigmoid", "focal"]
BACKGROUND = 0
"""Slot of the background in the class logits; label k is slot k + 1."""


class LossTerms(NamedTuple):
    """Scalars, each already weighted and divided by the positives of the batch."""

    classification: Tensor
    localization: Tensor

    @property
    def total(self) -> Tensor:
        """What is minimised."""
        return self.classification + self.localization


class SSDLoss(nn.Module):
    """Multi-box loss over a batch, finite also where no image has a box.

    `softmax` and `sigmoid` train the background slot (as one-hot target 1 on negatives) and
    mine hard negatives; `focal` trains on every anchor with all-zero targets on negatives
    and leaves mining out.

    Args:
        classification: Which loss over the class slots.
        classification_weight: Factor of that loss.
        localization_weight: Factor of the smooth L1 loss.
        match_iou_threshold: See `match_anchors`.
        force_match: See `match_anchors`.
        negatives_per_positive: Hardest negatives kept per positive anchor of an image.
        min_negatives_per_image: Negatives kept where that gives fewer.
        max_examples_per_image: Anchors considered in mining, highest loss first.
        mining_nms_iou: IoU of a class-blind NMS over decoded boxes, ranked by their loss,
            before mining, so that near-copies of one error count once; None leaves it out.
        focal_alpha: Weight of the positive class.
        focal_gamma: Focusing exponent.

    Source: SSD (arXiv 1512.02325), section 2.2; `losses.py` of the release (HardExampleMiner);
    focal loss arXiv 1708.02002.
    """

    def __init__(
        self,
        *,
        classification: Classification = "softmax",
        classification_weight: float = 1.0,
        localization_weight: float = 1.0,
        match_iou_threshold: float = 0.5,
        force_match: bool = True,
        negatives_per_positive: float = 3.0,
        min_negatives_per_image: int = 3,
        max_examples_per_image: int = 3000,
        mining_nms_iou: float | None = None,
        focal_alpha: float = 0.25,
        focal_gamma: float = 2.0,
    ) -> None:
        super().__init__()
        self.classification = classification
        self.classification_weight = classification_weight
        self.localization_weight = localization_weight
        self.match_iou_threshold = match_iou_threshold
        self.force_match = force_match
        self.negatives_per_positive = negatives_per_positive
        self.min_negatives_per_image = min_negatives_per_image
        self.max_examples_per_image = max_examples_per_image
        self.mining_nms_iou = mining_nms_iou
        self.focal_alpha = focal_alpha
        self.focal_gamma = focal_gamma

    def forward(
        self, outputs: DetectorOutputs, targets: BatchTargets, input_size: ImageSize
    ) -> LossTerms:
        """Loss of a batch; target boxes are xyxy pixels of the network's input."""
        # Half precision cannot hold a sum over thousands of anchors.
        kind = torch.promote_types(outputs.class_logits.dtype, torch.float32)
        outputs = DetectorOutputs(*(tensor.to(kind) for tensor in outputs))
        num_images = len(outputs.class_logits)
        slots, delta_targets = self.assign(outputs.anchors, targets, num_images, input_size)
        anchor_losses = self.classify(outputs.class_logits, slots)
        positive = slots != BACKGROUND
        if self.classification == "focal":
            kept = torch.ones_like(positive)
        else:
            kept = self.mine(anchor_losses.detach(), positive, outputs)
        deltas = F.smooth_l1_loss(outputs.box_deltas, delta_targets, reduction="none").sum(dim=-1)
        normalizer = self._normalizer(positive)
        return LossTerms(
            self.classification_weight * (anchor_losses * kept).sum() / normalizer,
            self.localization_weight * (deltas * (positive & kept)).sum() / normalizer,
        )

    def _normalizer(self, positive: Tensor) -> Tensor:
        """Positives of the batch, at least 1; in training, per process those of all processes."""
        count = positive.sum()
        # Processes have unequally many batches to validate, and would wait for each other.
        return mean_over_processes(count, least=1) if self.training else count.clamp(min=1)

    def assign(
        self, anchors: Tensor, targets: BatchTargets, num_images: int, input_size: ImageSize
    ) -> tuple[Tensor, Tensor]:
        """Target slots [B, A] int64 (0 is background) and box deltas [B, A, 4] (0 on negatives)."""
        if not len(targets.boxes):
            slots = targets.labels.new_full((num_images, len(anchors)), BACKGROUND)
            return slots, anchors.new_zeros(num_images, *anchors.shape)
        boxes = targets.boxes / size_scale(input_size, targets.boxes)
        matches = match_anchors(
            boxes,
            targets.images,
            num_images,
            center_to_corner(anchors),
            match_iou_threshold=self.match_iou_threshold,
            force_match=self.force_match,
        )
        positive = matches != UNMATCHED
        chosen = matches.clamp(min=0)  # The first box, where there is none: not used.
        slots = torch.where(positive, targets.labels[chosen] + 1, BACKGROUND)
        deltas = encode_boxes(corner_to_center(boxes)[chosen], anchors)
        return slots, deltas.where(positive[..., None], 0.0)

    def classify(self, class_logits: Tensor, slots: Tensor) -> Tensor:
        """Classification loss [B, A] of each anchor, unweighted."""
        if self.classification == "softmax":
            flat = F.cross_entropy(class_logits.flatten(0, 1), slots.flatten(), reduction="none")
            return flat.view_as(slots)
        one_hot = F.one_hot(slots, class_logits.shape[-1]).to(class_logits.dtype)
        if self.classification == "sigmoid":
            losses = F.binary_cross_entropy_with_logits(class_logits, one_hot, reduction="none")
        else:
            one_hot[..., BACKGROUND] = 0
            losses = sigmoid_focal_loss(
                class_logits, one_hot, alpha=self.focal_alpha, gamma=self.focal_gamma
            )
        return losses.sum(dim=-1)

    @torch.no_grad()
    def mine(self, losses: Tensor, positive: Tensor, outputs: DetectorOutputs) -> Tensor:
        """Mask [B, A] of the anchors that are trained on: positives and hardest negatives."""
        candidate = self._distinct(losses, outputs)
        ranked = losses.masked_fill(~candidate, -torch.inf)
        candidate &= _ranks(ranked) < self.max_examples_per_image
        positive = positive & candidate
        wanted = (positive.sum(dim=1) * self.negatives_per_positive).long()
        wanted = wanted.clamp(min=self.min_negatives_per_image)
        hardness = losses.masked_fill(~candidate | positive, -torch.inf)
        negative = (_ranks(hardness) < wanted[:, None]) & candidate & ~positive
        return positive | negative

    def _distinct(self, losses: Tensor, outputs: DetectorOutputs) -> Tensor:
        """Mask [B, A] of the anchors left by the NMS before mining."""
        if self.mining_nms_iou is None:
            return torch.ones_like(losses, dtype=torch.bool)
        boxes = center_to_corner(decode_boxes(outputs.box_deltas, outputs.anchors))
        mask = torch.zeros_like(losses, dtype=torch.bool)
        # Image by image: `batched_nms` moves images apart by an offset, which mixes them where
        # coordinates are negative and costs precision where they are large; these are both.
        for row, image_boxes, image_losses in zip(mask, boxes, losses, strict=True):
            row[nms(image_boxes, image_losses, self.mining_nms_iou)] = True
        return mask


def _ranks(losses: Tensor) -> Tensor:
    """Place [B, A] of every loss in its row, the highest first; equal ones in their order."""
    order = losses.argsort(dim=1, descending=True, stable=True)
    places = torch.arange(losses.shape[1], device=losses.device).expand_as(order)
    return torch.empty_like(order).scatter_(1, order, places)
