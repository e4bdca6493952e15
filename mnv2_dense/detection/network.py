"""The detector: backbone, head and anchors in one module."""

from typing import NamedTuple

from torch import Tensor, nn

from mnv2_dense.backbone.backbone import Backbone
from mnv2_dense.detection.anchors import AnchorGenerator
from mnv2_dense.detection.head import HeadOutputs, SSDHead
from mnv2_dense.structures import ImageSize


class DetectorOutputs(NamedTuple):
    """What loss and decoding need of one batch.

    class_logits [B, A, 1 + C] with background first, box_deltas [B, A, 4] (tx, ty, tw, th),
    anchors [A, 4] (cx, cy, w, h) in shares of the input.
    """

    class_logits: Tensor
    box_deltas: Tensor
    anchors: Tensor


class Detector(nn.Module):
    """Images to raw predictions and the anchors they refer to, at any input size.

    Args:
        backbone: Returns feature maps by tap name.
        head: Predicts from those maps.
        anchor_generator: Knows the anchors of every level of the head.
    """

    backbone: Backbone
    head: SSDHead

    def __init__(
        self, backbone: Backbone, head: SSDHead, anchor_generator: AnchorGenerator
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.anchor_generator = anchor_generator

    @property
    def class_layers(self) -> list[str]:
        """Names of the layers whose outputs are class logits."""
        return [f"head.{name}" for name in self.head.class_layers]

    def forward(self, images: Tensor) -> DetectorOutputs:
        """Predictions for images [B, 3, H, W] (normalised RGB)."""
        return add_anchors(self.head(self.backbone(images)), images, self.anchor_generator)


def add_anchors(
    outputs: HeadOutputs, images: Tensor, anchor_generator: AnchorGenerator
) -> DetectorOutputs:
    """A head's predictions for images [B, 3, H, W], with the anchors they refer to."""
    size = ImageSize(*images.shape[-2:])
    anchors = anchor_generator(outputs.feature_sizes, size, images.device)
    return DetectorOutputs(outputs.class_logits, outputs.box_deltas, anchors)
