"""Lite R-ASPP, MobileNetV3's segmentation head: one gated 1x1 layer and a finer second map."""

from typing import Any

from torch import Tensor, nn

from mnv2_dense.backbone.blocks import ConvNormAct, initialize
from mnv2_dense.ops.resize import resize_map
from mnv2_dense.structures import FeatureSpec, ImageSize


class LRASPPHead(nn.Module):
    """A 1x1 layer gated by the pooled map, up-sampled and classified, plus a finer map's logits.

    Args:
        tap: The coarse map, whose features are gated.
        low_level_tap: The finer map, which gives the logits their resolution.
        num_classes: Length of the logits, background included.
        channels: Channels of the gated layer.
        dropout: Share of the gated layer's values dropped before its logits in training.
        norm_epsilon: See `ConvNormAct`.
        norm_momentum: See `ConvNormAct`.
        activation: Activation of the gated layer.
        align_corners: How the gated layer is up-sampled, see `resize_map`.

    Raises:
        ValueError: The second map is coarser than the first.

    Source: MobileNetV3 (arXiv 1905.02244), section 6.4 and Figure 10.
    Differs from the paper: the pool is the average of the whole map, as torchvision's, and not
    windows of 49x49 cells at a stride of (16, 20), which are chosen for one size of pictures;
    and dropout may stand before the gated layer's logits, as in the other heads.
    """

    class_layers = ("classifier", "low_level_classifier")
    """Names of the layers whose outputs are class logits."""

    def __init__(
        self,
        tap: FeatureSpec,
        low_level_tap: FeatureSpec,
        num_classes: int,
        *,
        channels: int = 128,
        dropout: float = 0.0,
        norm_epsilon: float = 1e-5,
        norm_momentum: float = 0.1,
        activation: type[nn.Module] = nn.ReLU,
        align_corners: bool = True,
    ) -> None:
        super().__init__()
        check_order(tap, low_level_tap)
        self.tap_name = tap.name
        self.low_level_tap_name = low_level_tap.name
        self.align_corners = align_corners
        layer: dict[str, Any] = {
            "norm_epsilon": norm_epsilon,
            "norm_momentum": norm_momentum,
            "activation": activation,
        }
        self.project = ConvNormAct(tap.channels, channels, **layer)
        self.gate = nn.Conv2d(tap.channels, channels, 1, bias=False)
        self.dropout = nn.Dropout(dropout)
        self.low_level_classifier = nn.Conv2d(low_level_tap.channels, num_classes, 1)
        self.classifier = nn.Conv2d(channels, num_classes, 1)
        initialize(self)

    def forward(self, features: dict[str, Tensor]) -> Tensor:
        """Class logits [B, num_classes, h, w] at the finer map's resolution."""
        tap, low_level = features[self.tap_name], features[self.low_level_tap_name]
        gate = self.gate(tap.mean(dim=(2, 3), keepdim=True)).sigmoid()
        size = ImageSize(*low_level.shape[2:])
        gated = resize_map(self.project(tap) * gate, size, self.align_corners)
        return self.classifier(self.dropout(gated)) + self.low_level_classifier(low_level)


def check_order(tap: FeatureSpec, low_level_tap: FeatureSpec) -> None:
    """Refuses a second map that is coarser than the first.

    Raises:
        ValueError: It is.
    """
    if low_level_tap.stride > tap.stride:
        raise ValueError(
            f"{low_level_tap.name} at stride {low_level_tap.stride} is coarser than "
            f"{tap.name} at stride {tap.stride}; give a finer one"
        )
