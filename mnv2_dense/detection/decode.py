"""From raw outputs to boxes in the original picture."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torchvision.ops import batched_nms

from mnv2_dense.detection.coding import decode_boxes
from mnv2_dense.detection.network import DetectorOutputs
from mnv2_dense.ops.boxes import center_to_corner, clip_to_image, size_scale
from mnv2_dense.structures import Detections, ImageSize


class Decoder(nn.Module):
    """Scores, decoded boxes, threshold, NMS per class and the best of what is left.

    Args:
        activation: `softmax` or `sigmoid` over the class slots; the background slot (the
            first) is dropped after it.
        score_threshold: Detections of a lower score are dropped.
        nms_iou_threshold: Overlap above which the lower-scored box of a class is dropped.
        max_candidates: Class-anchor pairs per image that enter NMS, best first; None for all.
        max_detections_per_class: Detections kept per class; None for all.
        max_detections: Detections kept per image.
    """

    def __init__(
        self,
        *,
        activation: Literal["softmax", "sigmoid"] = "softmax",
        score_threshold: float = 0.01,
        nms_iou_threshold: float = 0.6,
        max_candidates: int | None = 1000,
        max_detections_per_class: int | None = None,
        max_detections: int = 100,
    ) -> None:
        super().__init__()
        self.activation = activation
        self.score_threshold = score_threshold
        self.nms_iou_threshold = nms_iou_threshold
        self.max_candidates = max_candidates
        self.max_detections_per_class = max_detections_per_class
        self.max_detections = max_detections

    @torch.no_grad()
    def forward(
        self, outputs: DetectorOutputs, original_sizes: Sequence[ImageSize]
    ) -> list[Detections]:
        """Detections per image, best first, in pixels of images of `original_sizes`."""
        outputs = DetectorOutputs(*(tensor.float() for tensor in outputs))
        scores = self._scores(outputs.class_logits)
        boxes = center_to_corner(decode_boxes(outputs.box_deltas, outputs.anchors))
        return [self._select(*image) for image in zip(boxes, scores, original_sizes, strict=True)]

    def _scores(self, class_logits: Tensor) -> Tensor:
        """Scores [B, A, C] without the background."""
        if self.activation == "softmax":
            return class_logits.softmax(dim=-1)[..., 1:]
        return class_logits.sigmoid()[..., 1:]

    def _select(self, boxes: Tensor, scores: Tensor, size: ImageSize) -> Detections:
        """Detections of one image, of boxes [A, 4] in shares of it and scores [A, C]."""
        # A box that is not finite or has no area inside the picture is no detection; nor is a
        # score of NaN, which fails the comparison.
        pixels = clip_to_image(boxes * size_scale(size, boxes), size)
        usable = boxes.isfinite().all(dim=-1) & (pixels[:, 2:] > pixels[:, :2]).all(dim=-1)
        passing = (usable[:, None] & (scores >= self.score_threshold)).nonzero()
        candidate_scores = scores[passing[:, 0], passing[:, 1]]
        candidate_scores, order = candidate_scores.sort(descending=True, stable=True)
        order = order[: self.max_candidates]
        candidate_scores = candidate_scores[: self.max_candidates]
        anchor, label = passing[order].unbind(dim=1)
        pixels = pixels[anchor]
        kept = batched_nms(pixels, candidate_scores, label, self.nms_iou_threshold)
        if self.max_detections_per_class is not None:
            kept = kept[_rank_in_class(label[kept]) < self.max_detections_per_class]
        kept = kept[: self.max_detections]
        return Detections(pixels[kept], candidate_scores[kept], label[kept])


def _rank_in_class(labels: Tensor) -> Tensor:
    """How many earlier entries of `labels` [N] have the same label."""
    order = labels.argsort(stable=True)
    grouped = labels[order]
    # In sorted labels, the first place of a label is where it would be inserted.
    first = torch.searchsorted(grouped, grouped)
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(labels), device=labels.device) - first
    return rank
