"""Networks with their decoding inside, in operations whose shapes torch.export can follow."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import nms
from typing_extensions import override

from mnv2_dense.detection.coding import decode_boxes
from mnv2_dense.exporting.levels import Levels
from mnv2_dense.ops.boxes import center_to_corner
from mnv2_dense.ops.resize import resize_map
from mnv2_dense.prediction.network import DeployedDetector, DeployedSegmenter
from mnv2_dense.structures import ImageSize

_LEFT_OUT = -1.0
"""Score of what does not pass."""


class DecodedSegmenter(nn.Module):
    """Pictures to label maps [B, H, W] uint8 and class logits [B, C, h, w]."""

    def __init__(self, deployed: DeployedSegmenter, *, align_corners: bool) -> None:
        super().__init__()
        self.deployed = deepcopy(deployed)
        self.align_corners = align_corners

    @override
    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        class_logits = self.deployed(images)
        size = ImageSize(*images.shape[1:3])
        pixels = resize_map(class_logits, size, self.align_corners)
        return pixels.max(dim=1).indices.to(torch.uint8), class_logits.contiguous()


class DecodedDetector(nn.Module):
    """Pictures to boxes [B, N, 4], scores [B, N] and labels [B, N], N being fixed.

    Args:
        deployed: The network.
        anchors: Of the input's size.
        decoding: The `decode` section of a config.
    """

    anchors: Tensor

    def __init__(
        self, deployed: DeployedDetector, anchors: Tensor, decoding: Mapping[str, Any]
    ) -> None:
        super().__init__()
        self.deployed = deepcopy(deployed)
        self.deployed.network = Levels(deployed.network)
        self.register_buffer("anchors", anchors)
        self.decode = Decode(decoding)

    @override
    def forward(self, images: Tensor, score_threshold: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        maps = self.deployed.outputs(images)
        levels = len(maps) // 2
        anchors = len(self.anchors)
        logits, deltas = (
            torch.cat([each.permute(0, 2, 3, 1).flatten(1) for each in group], dim=1).unflatten(
                1, (anchors, -1)
            )
            for group in (maps[:levels], maps[levels:])
        )
        softmax = self.deployed.activation == "softmax"
        scores = (logits.softmax(dim=-1) if softmax else logits.sigmoid())[..., 1:]
        boxes = center_to_corner(decode_boxes(deltas, self.anchors))
        return self.decode(scores, boxes, score_threshold)


class Decode(nn.Module):
    """What `detection.decode.Decoder` does, for a whole batch at once.

    Candidates are as many in every picture, filled up with what does not pass. One NMS sees those
    that do, moved away from each other where they do not compete.

    Args:
        decoding: The `decode` section of a config.
    """

    def __init__(self, decoding: Mapping[str, Any]) -> None:
        super().__init__()
        self.decoding = decoding
        self.across = decoding["nms"] == "across_classes"

    @override
    def forward(
        self, scores: Tensor, boxes: Tensor, score_threshold: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        threshold = score_threshold.clamp(min=self.decoding["score_threshold"])
        clipped = boxes.clamp(0, 1)
        usable = boxes.isfinite().all(-1) & (self.across | _has_area(clipped))
        classes = scores.shape[-1]
        highest = scores.max(-1, keepdim=True)
        competing = highest.values if self.across else scores
        passing = usable[..., None] & (competing >= threshold)
        best, place = self._candidates(competing.where(passing, _LEFT_OUT).flatten(1))
        if self.across:
            anchor, label = place, highest.indices.squeeze(-1).gather(1, place)
        else:
            anchor, label = place // classes, place % classes
        chosen = _pick(clipped, anchor)
        # What competes: boxes of a picture, or of a class in it.
        image = torch.arange(best.shape[0], device=best.device)[:, None]
        group = image.expand_as(label) if self.across else image * classes + label
        kept = self._suppress(_pick(boxes, anchor) if self.across else chosen, best, group)
        if self.decoding["max_detections_per_class"] is not None:
            kept = kept & (
                _ranks(kept, label, classes) <= self.decoding["max_detections_per_class"]
            )
        best, chosen, label = self._cut(best.where(kept, _LEFT_OUT), chosen, label)
        best, chosen, label = self._cut(best.where(_has_area(chosen), _LEFT_OUT), chosen, label)
        return chosen, best.clamp(min=0), label

    def _candidates(self, scores: Tensor) -> tuple[Tensor, Tensor]:
        """Scores and places [B, k] of the best, equal ones in their order."""
        most = self.decoding["max_candidates"]
        count = min(scores.shape[1], most or scores.shape[1])
        # A stable sort of all would take longer than the network.
        place = scores.topk(count, sorted=False).indices.sort().values
        best, order = scores.gather(1, place).sort(descending=True, stable=True)
        return best, place.gather(1, order)

    def _suppress(self, boxes: Tensor, best: Tensor, group: Tensor) -> Tensor:
        """Whether each of the candidates [B, k] is left after the NMS within its group."""
        passing = (best > _LEFT_OUT).flatten().nonzero().squeeze(1)
        # In float64, where boxes that are moved apart keep their overlaps.
        inside = boxes.double().flatten(0, 1)[passing]
        # Two more that are always left: torch.export takes it that so many are.
        inside = F.pad(inside, (0, 0, 0, 2))
        apart = inside.abs().amax() * 2 + 1
        moved = inside + (F.pad(group.flatten()[passing], (0, 2), value=-1) * apart)[:, None]
        scores = F.pad(best.flatten()[passing].double(), (0, 2), value=_LEFT_OUT)
        left = nms(moved, scores, self.decoding["nms_iou_threshold"])
        places = F.pad(passing + 1, (0, 2))[left]  # Their own place is the first.
        nothing = F.pad(torch.zeros_like(best, dtype=torch.bool).flatten(), (1, 0))
        return nothing.index_fill(0, places, True)[1:].view_as(best)

    def _cut(self, best: Tensor, boxes: Tensor, label: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The best of the candidates, in order."""
        count = min(best.shape[1], self.decoding["max_detections"])
        best, order = best.sort(descending=True, stable=True)
        order = order[:, :count]
        return best[:, :count], _pick(boxes, order), label.gather(1, order)


def _has_area(boxes: Tensor) -> Tensor:
    return (boxes[..., 2:] > boxes[..., :2]).all(-1)


def _pick(boxes: Tensor, places: Tensor) -> Tensor:
    """Boxes [B, k, 4] out of boxes [B, N, 4]."""
    return boxes.gather(1, places[..., None].expand(-1, -1, 4))


def _ranks(kept: Tensor, label: Tensor, classes: int) -> Tensor:
    """Place [B, k] of each kept candidate among those of its class, from 1."""
    own = (label[..., None] == torch.arange(classes, device=label.device)) & kept[..., None]
    return own.cumsum(1).gather(-1, label[..., None]).squeeze(-1)
