"""The joint network: one backbone, the detector's head and the segmenter's."""

from typing import Literal, NamedTuple

from torch import Tensor, nn

from mnv2_dense.backbone.backbone import Backbone
from mnv2_dense.detection.anchors import AnchorGenerator
from mnv2_dense.detection.head import SSDHead
from mnv2_dense.detection.network import DetectorOutputs, add_anchors
from mnv2_dense.segmentation.head import FCNHead
from mnv2_dense.segmentation.network import MainHead, SegmenterOutputs

Wanted = Literal["both", "detection", "segmentation"]
"""Which heads read the backbone's maps."""


class JointOutputs(NamedTuple):
    """What both heads predict; None of one that was not asked."""

    detection: DetectorOutputs | None
    segmentation: SegmenterOutputs | None


class JointNetwork(nn.Module):
    """Images to both heads' predictions, out of one pass of the backbone, at any input size.

    The heads are those of `Detector` and `Segmenter`: with the same weights they predict the same.

    Args:
        backbone: Returns the taps of both heads by name.
        detection_head: Predicts class logits and box deltas.
        anchor_generator: Knows the anchors of every level of that head.
        segmentation_head: Predicts class logits in cells.
        auxiliary_head: Of the segmenter, in training only.
    """

    backbone: Backbone
    detection_head: SSDHead
    segmentation_head: MainHead
    auxiliary_head: FCNHead | None

    def __init__(
        self,
        backbone: Backbone,
        detection_head: SSDHead,
        anchor_generator: AnchorGenerator,
        segmentation_head: MainHead,
        auxiliary_head: FCNHead | None = None,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.detection_head = detection_head
        self.anchor_generator = anchor_generator
        self.segmentation_head = segmentation_head
        self.auxiliary_head = auxiliary_head

    @property
    def class_layers(self) -> list[str]:
        """Names of the layers whose outputs are class logits."""
        auxiliary = [] if self.auxiliary_head is None else ["auxiliary_head.classifier"]
        return [
            *(f"detection_head.{name}" for name in self.detection_head.class_layers),
            *(f"segmentation_head.{name}" for name in self.segmentation_head.class_layers),
            *auxiliary,
        ]

    def forward(self, images: Tensor, wanted: Wanted = "both") -> JointOutputs:
        """Predictions for images [B, 3, H, W] (normalised RGB).

        Args:
            images: The batch.
            wanted: A head that is not asked computes nothing, and gets no gradient.
        """
        features = self.backbone(images)
        return JointOutputs(
            None if wanted == "segmentation" else self._detect(features, images),
            None if wanted == "detection" else self._segment(features),
        )

    def _detect(self, features: dict[str, Tensor], images: Tensor) -> DetectorOutputs:
        return add_anchors(self.detection_head(features), images, self.anchor_generator)

    def _segment(self, features: dict[str, Tensor]) -> SegmenterOutputs:
        auxiliary = self.auxiliary_head if self.training else None
        return SegmenterOutputs(
            self.segmentation_head(features), None if auxiliary is None else auxiliary(features)
        )
