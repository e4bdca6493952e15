"""DeepLabv3's head: image pooling and atrous branches side by side, then class logits."""

from collections.abc import Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mnv2_dense.backbone.blocks import ConvNormAct, initialize
from mnv2_dense.structures import FeatureSpec

Aspp = Literal["none", "dense", "separable"]

RATES_STRIDE = 16
"""Output stride for which atrous rates are given (paper of DeepLabv3, section 3.3)."""


class DeepLabV3Head(nn.Module):
    """Image pooling, a 1x1 branch and atrous branches, concatenated, projected and classified.

    Without atrous branches it is the light head that the paper recommends.

    Args:
        tap: The feature map to read.
        num_classes: Length of the logits, background included.
        aspp: Atrous branches: `none`, `dense` (3x3) or `separable` (depthwise 3x3, then 1x1,
            each with norm and activation).
        atrous_rates: One branch each; as at output stride 16, and scaled to the tap's stride.
        channels: Channels of every branch and of the projection.
        dropout: Share of the projection's values dropped in training.
        norm_epsilon: See `ConvNormAct`.
        norm_momentum: See `ConvNormAct`.
        activation: Activation of every layer but the last.

    Source: paper, section 6.3; DeepLabv3 (arXiv 1706.05587), section 3.3; order of the
    branches, ReLU and epsilon as in the release's `model.py`.
    """

    class_layers = ("classifier",)
    """Names of the layers whose outputs are class logits."""

    def __init__(
        self,
        tap: FeatureSpec,
        num_classes: int,
        *,
        aspp: Aspp = "none",
        atrous_rates: Sequence[int] = (6, 12, 18),
        channels: int = 256,
        dropout: float = 0.1,
        norm_epsilon: float = 1e-5,
        norm_momentum: float = 0.1,
        activation: type[nn.Module] = nn.ReLU,
    ) -> None:
        super().__init__()
        self.tap_name = tap.name
        layer: dict[str, Any] = {
            "norm_epsilon": norm_epsilon,
            "norm_momentum": norm_momentum,
            "activation": activation,
        }
        self.image_pooling = ImagePooling(tap.channels, channels, **layer)
        self.branches = nn.ModuleList([ConvNormAct(tap.channels, channels, **layer)])
        if aspp != "none":
            branch = dense_branch if aspp == "dense" else separable_branch
            rates = scale_rates(atrous_rates, tap.stride)
            self.branches.extend(branch(tap.channels, channels, rate, **layer) for rate in rates)
        self.project = ConvNormAct(channels * (1 + len(self.branches)), channels, **layer)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Conv2d(channels, num_classes, 1)
        initialize(self)

    def forward(self, features: dict[str, Tensor]) -> Tensor:
        """Class logits [B, num_classes, h, w] at the tap's resolution."""
        tap = features[self.tap_name]
        pooled = self.image_pooling(tap)
        branches = [pooled, *(branch(tap) for branch in self.branches)]
        return self.classifier(self.dropout(self.project(torch.cat(branches, dim=1))))


class FCNHead(nn.Module):
    """Auxiliary head: 3x3 to a quarter of the channels, then class logits.

    It is trained beside the main head and takes no part in prediction.

    Args:
        tap: The feature map to read.
        num_classes: Length of the logits, background included.
        dropout: Share of the values before the logits dropped in training.
        norm_epsilon: See `ConvNormAct`.
        norm_momentum: See `ConvNormAct`.
        activation: Activation of the 3x3 layer.

    Source: PSPNet (arXiv 1612.01105), section 3.3; layers as in torchvision's `FCNHead`.
    """

    def __init__(
        self,
        tap: FeatureSpec,
        num_classes: int,
        *,
        dropout: float = 0.1,
        norm_epsilon: float = 1e-5,
        norm_momentum: float = 0.1,
        activation: type[nn.Module] = nn.ReLU,
    ) -> None:
        super().__init__()
        self.tap_name = tap.name
        channels = max(1, tap.channels // 4)
        self.layer = ConvNormAct(
            tap.channels,
            channels,
            3,
            norm_epsilon=norm_epsilon,
            norm_momentum=norm_momentum,
            activation=activation,
        )
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Conv2d(channels, num_classes, 1)
        initialize(self)

    def forward(self, features: dict[str, Tensor]) -> Tensor:
        """Class logits [B, num_classes, h, w] at the tap's resolution."""
        return self.classifier(self.dropout(self.layer(features[self.tap_name])))


class ImagePooling(nn.Module):
    """Average over the whole map, 1x1 with norm and activation, spread over the map again.

    Its norm has one value per image and channel. Where a batch is one image, there is nothing
    to measure: the norm then uses its running statistics and leaves them as they are.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        norm_epsilon: See `ConvNormAct`.
        norm_momentum: See `ConvNormAct`.
        activation: See `ConvNormAct`.

    Source: DeepLabv3 (arXiv 1706.05587), section 3.3.
    """

    norm: _BatchNorm

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        norm_epsilon: float,
        norm_momentum: float,
        activation: type[nn.Module],
    ) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        self.norm = nn.BatchNorm2d(out_channels, eps=norm_epsilon, momentum=norm_momentum)
        self.activation = activation()

    def forward(self, features: Tensor) -> Tensor:
        """One vector per image, at every cell of a map of the input's size."""
        pooled = self.convolution(features.mean(dim=(2, 3), keepdim=True))
        norm = self.norm
        if norm.training and len(pooled) * _processes(norm) == 1:
            pooled = F.batch_norm(
                pooled, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps
            )
        else:
            pooled = norm(pooled)
        # Bilinear up-sampling of a single cell, whose gradient it would sum in half precision.
        return self.activation(pooled).expand(-1, -1, *features.shape[2:])


def _processes(norm: nn.Module) -> int:
    """Processes whose batches a norm measures together; all of them must then run the norm."""
    if not (isinstance(norm, nn.SyncBatchNorm) and distributed.is_available()):
        return 1
    return distributed.get_world_size(norm.process_group) if distributed.is_initialized() else 1


def dense_branch(in_channels: int, out_channels: int, rate: int, **layer: Any) -> nn.Module:
    """Atrous 3x3 with norm and activation."""
    return ConvNormAct(in_channels, out_channels, 3, dilation=rate, **layer)


def separable_branch(in_channels: int, out_channels: int, rate: int, **layer: Any) -> nn.Module:
    """Atrous depthwise 3x3, then 1x1, each with norm and activation."""
    return nn.Sequential(
        ConvNormAct(in_channels, in_channels, 3, groups=in_channels, dilation=rate, **layer),
        ConvNormAct(in_channels, out_channels, **layer),
    )


def scale_rates(atrous_rates: Sequence[int], stride: int) -> list[int]:
    """Rates for a map of `stride`, with the reach in pixels they have at stride 16."""
    return [max(1, round(rate * RATES_STRIDE / stride)) for rate in atrous_rates]
