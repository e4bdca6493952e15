"""Deployed networks in the form that LiteRT runs fast: channels last from end to end."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

from mnv2_dense.detection.coding import decode_boxes
from mnv2_dense.ops.boxes import center_to_corner, corner_to_center
from mnv2_dense.ops.resize import resize_map
from mnv2_dense.prediction.network import Deployed, DeployedDetector, DeployedSegmenter
from mnv2_dense.segmentation.head import DeepLabV3Head
from mnv2_dense.structures import ImageSize

LEAST_SIDE = 1e-6
"""Shortest side of a box, in shares of the picture: the operation for NMS takes none of zero."""
_LARGEST = float(torch.finfo(torch.float32).max)
_LEFT_OUT = -1.0


class LiteRtDetector(nn.Module):
    """Pictures to what TFLite_Detection_PostProcess takes, by name.

    `encodings` [1, A, 4] are centre and log of the sides (y, x, h, w) in shares of the picture;
    `scores` [1, A, C] are without the background, and -1 for what is no detection.

    Args:
        deployed: The network.
        size: Of the pictures.
        clip: Whether boxes are clipped to the picture, and those beside it are no detections.
    """

    anchors: Tensor
    mean: Tensor
    std: Tensor

    def __init__(self, deployed: DeployedDetector, size: ImageSize, *, clip: bool) -> None:
        super().__init__()
        self.deployed = deployed
        self.clip = clip
        # The converter has no float64, in which the anchors are made.
        images = torch.zeros(1, *size, 3, dtype=torch.uint8)
        self.register_buffer("anchors", deployed.outputs(images).anchors)
        _hold_normalization(self, deployed)

    @override
    def forward(self, images: Tensor) -> dict[str, Tensor]:
        outputs = self.deployed.network(_normalize(images, self.mean, self.std))
        logits = outputs.class_logits
        softmax = self.deployed.activation == "softmax"
        scores = logits.softmax(dim=-1) if softmax else logits.sigmoid()
        boxes = decode_boxes(outputs.box_deltas, self.anchors)
        encodings, usable = _encode(boxes, self.clip)
        return {
            "encodings": encodings,
            "scores": torch.where(usable, scores[..., 1:], _LEFT_OUT),
        }


class LiteRtSegmenter(nn.Module):
    """Pictures to `label_map` [1, H, W] uint8 and `class_logits` [1, h, w, C], by name.

    Args:
        deployed: The network.
        align_corners: Of the up-sampling.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, deployed: DeployedSegmenter, *, align_corners: bool) -> None:
        super().__init__()
        self.network = deployed.network
        self.align_corners = align_corners
        head = self.network.head
        if isinstance(head, DeepLabV3Head):
            self.network.head = PooledHead(head)
        _hold_normalization(self, deployed)

    @override
    def forward(self, images: Tensor) -> dict[str, Tensor]:
        logits = self.network(_normalize(images, self.mean, self.std)).class_logits
        size = ImageSize(*images.shape[1:3])
        pixels = resize_map(logits, size, self.align_corners).permute(0, 2, 3, 1)
        label_map = pixels.argmax(dim=-1).to(torch.uint8)
        return {"label_map": label_map, "class_logits": logits.permute(0, 2, 3, 1)}


class PooledHead(nn.Module):
    """DeepLabv3's head that projects the pooled vector once and not at every cell of the map.

    The projection of concatenated branches is the sum of their projections.

    Args:
        head: With norms folded; its layers are used.
    """

    def __init__(self, head: DeepLabV3Head) -> None:
        super().__init__()
        self.head = head

    @override
    def forward(self, features: dict[str, Tensor]) -> Tensor:
        head, tap = self.head, features[self.head.tap_name]
        pooled = head.image_pooling(tap.mean(dim=(2, 3), keepdim=True))
        branches = torch.cat([branch(tap) for branch in head.branches], dim=1)
        convolution, *rest = head.project
        assert isinstance(convolution, nn.Conv2d)
        of_pooled, of_branches = convolution.weight.split(
            [pooled.shape[1], branches.shape[1]], dim=1
        )
        projected = F.conv2d(branches, of_branches, convolution.bias) + F.conv2d(pooled, of_pooled)
        for layer in rest:
            projected = layer(projected)
        return head.classifier(projected)


def _hold_normalization(module: nn.Module, deployed: Deployed) -> None:
    module.register_buffer("mean", deployed.mean.flatten())
    module.register_buffer("std", deployed.std.flatten())


def _normalize(images: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Before channels are moved: the converter then moves them nowhere."""
    return ((images.float() - mean) / std).permute(0, 3, 1, 2)


def _encode(boxes: Tensor, clip: bool) -> tuple[Tensor, Tensor]:
    """Encodings [1, A, 4] of boxes (cx, cy, w, h), and which of them are boxes [1, A, 1]."""
    finite = (boxes.abs() <= _LARGEST).all(dim=-1, keepdim=True)
    if clip:
        boxes = corner_to_center(center_to_corner(boxes).clamp(0, 1))
    center, side = boxes[..., :2], boxes[..., 2:]
    # So far outside of the picture, float32 is too coarse for short sides.
    sided = (side > LEAST_SIDE * (1 + center.abs())).all(dim=-1, keepdim=True)
    usable = finite & sided
    center, side = torch.where(usable, center, 0.5), torch.where(usable, side, 1.0)
    return torch.cat([center.flip(-1), side.log().flip(-1)], dim=-1), usable
