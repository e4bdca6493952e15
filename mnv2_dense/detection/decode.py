"""From raw outputs to boxes in the original picture."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torchvision.ops import batched_nms, nms

from mnv2_dense.detection.coding import decode_boxes
from mnv2_dense.detection.network import DetectorOutputs
from mnv2_dense.ops.boxes import center_to_corner, clip_to_image, size_scale
from mnv2_dense.structures import Detections, ImageSize


class Decoder(nn.Module):
    """Scores, decoded boxes, threshold, NMS and the best of what is left.

    The NMS `per_class` compares boxes as they are seen, clipped to the picture, with those of
    their class. `across_classes` compares all of them, each anchor standing for its best class
    alone (the first of equals), and as the network gives them: a box outside the picture can
    push out another and takes a place among `max_detections`, though it is not shown.

    Source of `across_classes`: TensorFlow Lite's TFLite_Detection_PostProcess with
    use_regular_nms=false and max_classes_per_detection=1, which has neither `max_candidates`
    nor `max_detections_per_class` there (None).

    Args:
        activation: `softmax` or `sigmoid` over the class slots; the background slot (the
            first) is dropped after it.
        score_threshold: Detections of a lower score are dropped.
        nms: Which boxes compete.
        nms_iou_threshold: Overlap above which the lower-scored of two such boxes is dropped.
        max_candidates: Class-anchor pairs per image that enter NMS, best first; None for all.
        max_detections_per_class: Detections kept per class after the NMS; None for all.
        max_detections: Detections kept per image.
    """

    def __init__(
        self,
        *,
        activation: Literal["softmax", "sigmoid"] = "softmax",
        score_threshold: float = 0.01,
        nms: Literal["per_class", "across_classes"] = "per_class",
        nms_iou_threshold: float = 0.6,
        max_candidates: int | None = 1000,
        max_detections_per_class: int | None = None,
        max_detections: int = 100,
    ) -> None:
        super().__init__()
        self.activation = activation
        self.score_threshold = score_threshold
        self.nms = nms
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
        """Scores [B, A, C] without the background; -1 for classes that an anchor cannot be."""
        if self.activation == "softmax":
            scores = class_logits.softmax(dim=-1)[..., 1:]
        else:
            scores = class_logits.sigmoid()[..., 1:]
        if self.nms == "per_class":
            return scores
        best = scores.argmax(dim=-1, keepdim=True)
        return torch.full_like(scores, -1).scatter(-1, best, scores.gather(-1, best))

    def _select(self, boxes: Tensor, scores: Tensor, size: ImageSize) -> Detections:
        """Detections of one image, of boxes [A, 4] in shares of it and scores [A, C]."""
        # A box that is not finite or has no area inside the picture is no detection; nor is a
        # score of NaN, which fails the comparison.
        pixels = clip_to_image(boxes * size_scale(size, boxes), size)
        seen = (pixels[:, 2:] > pixels[:, :2]).all(dim=-1)
        finite = boxes.isfinite().all(dim=-1)
        usable = finite & seen if self.nms == "per_class" else finite
        anchor, label, best = self._candidates(scores, usable)
        if self.nms == "per_class":
            kept = batched_nms(pixels[anchor], best, label, self.nms_iou_threshold)
        else:
            kept = nms(boxes[anchor], best, self.nms_iou_threshold)
        if self.max_detections_per_class is not None:
            kept = kept[_rank_in_class(label[kept]) < self.max_detections_per_class]
        kept = kept[: self.max_detections]
        kept = kept[seen[anchor[kept]]]
        return Detections(pixels[anchor[kept]], best[kept], label[kept])

    def _candidates(self, scores: Tensor, usable: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Anchors, labels and scores, best first, of what passes among the usable anchors."""
        passing = (usable[:, None] & (scores >= self.score_threshold)).nonzero()
        best, order = scores[passing[:, 0], passing[:, 1]].sort(descending=True, stable=True)
        anchor, label = passing[order[: self.max_candidates]].unbind(dim=1)
        return anchor, label, best[: self.max_candidates]


def _rank_in_class(labels: Tensor) -> Tensor:
    """How many earlier entries of `labels` [N] have the same label."""
    order = labels.argsort(stable=True)
    grouped = labels[order]
    # In sorted labels, the first place of a label is where it would be inserted.
    first = torch.searchsorted(grouped, grouped)
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(labels), device=labels.device) - first
    return rank
