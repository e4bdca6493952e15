"""The layers that the backbones and the heads are made of."""

from typing import Any, Literal

import torch.nn.functional as F
from torch import Tensor, nn

Padding = Literal["symmetric", "same"]
Shortcut = Literal["bottleneck", "expansion", "none"]

RELEASE_EPSILON = 0.001
"""Epsilon of the batch norms of the TF releases."""


def make_divisible(channels: float, divisor: int = 8, least: int | None = None) -> int:
    """Channels rounded to a multiple of `divisor`, never more than 10 % below the given value.

    Never below `least` either, which is the divisor unless it is given, and then any number.

    Source: the rule of the authors' released MobileNet code, which every published width obeys.
    """
    rounded = max(least or divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded


class SamePadConv2d(nn.Conv2d):
    """Convolution padded as TensorFlow's SAME: the odd pixel goes to the bottom and right.

    At stride 2 and an even input only the bottom and right are padded, so weights trained
    with SAME see features shifted by a pixel if they are run with symmetric padding.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Feature map [B, out, ceil(H / stride), ceil(W / stride)]."""
        height, width = (
            _same_padding(size, self.kernel_size[i], self.stride[i], self.dilation[i])
            for i, size in enumerate(input.shape[-2:])
        )
        return super().forward(F.pad(input, (*width, *height)))


def _same_padding(size: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    """Pixels before and after, along one side of an input of `size` pixels."""
    cells = -(-size // stride)
    total = max((cells - 1) * stride + (kernel - 1) * dilation + 1 - size, 0)
    return total // 2, total - total // 2


class ConvNormAct(nn.Sequential):
    """Convolution without bias, batch norm, and an activation (ReLU6 unless told otherwise).

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel_size: Odd side of the kernel, in cells.
        stride: Step of the kernel, in cells.
        groups: 1 for a full convolution, `in_channels` for a depthwise one.
        dilation: Distance between the kernel's cells.
        padding: `symmetric` (torchvision) or `same` (TensorFlow).
        norm_epsilon: Added to the variance before the root.
        norm_momentum: Weight of a new batch in the running statistics.
        activation: Class of the activation, or None for a linear layer.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 1,
        *,
        stride: int = 1,
        groups: int = 1,
        dilation: int = 1,
        padding: Padding = "symmetric",
        norm_epsilon: float = 1e-5,
        norm_momentum: float = 0.1,
        activation: type[nn.Module] | None = nn.ReLU6,
    ) -> None:
        # At stride 1 an odd kernel's SAME padding is symmetric, and the plain layer is faster.
        same = padding == "same" and stride > 1 and kernel_size > 1
        conv = (SamePadConv2d if same else nn.Conv2d)(
            in_channels,
            out_channels,
            kernel_size,
            stride=stride,
            padding=0 if same else (kernel_size - 1) // 2 * dilation,
            groups=groups,
            dilation=dilation,
            bias=False,
        )
        layers: list[nn.Module] = [
            conv,
            nn.BatchNorm2d(out_channels, eps=norm_epsilon, momentum=norm_momentum),
        ]
        if activation is not None:
            layers.append(activation())
        super().__init__(*layers)


class DepthwiseSeparable(nn.Sequential):
    """Depthwise 3x3, then 1x1, each with norm and activation: the block of MobileNetV1.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        stride: Stride of the depthwise layer.
        dilation: Dilation of the depthwise layer.
        padding: See `ConvNormAct`.
        layer: Norm and activation of both layers, see `ConvNormAct`.

    Source: MobileNets (arXiv 1704.04861), section 3.1.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        padding: Padding = "symmetric",
        **layer: Any,
    ) -> None:
        depthwise = {"groups": in_channels, "stride": stride, "dilation": dilation}
        super().__init__(
            ConvNormAct(in_channels, in_channels, 3, padding=padding, **depthwise, **layer),
            ConvNormAct(in_channels, out_channels, **layer),
        )


class InvertedResidual(nn.Module):
    """Expansion 1x1, depthwise 3x3, linear projection 1x1, and a shortcut where shapes allow.

    The shortcut is absent where the block changes channels or was given stride 2 by the
    paper's table, even if dilation took the stride's place.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        expansion: Factor t of the paper; 1 leaves the expansion layer out.
        stride: Stride of the depthwise layer.
        dilation: Dilation of the depthwise layer.
        shortcut: What is added where shapes allow: `bottleneck` (the paper's) the input to the
            output, `expansion` this block's expansion to the next block's, `none` nothing.
        linear: Whether the projection has no activation (the paper's); otherwise it has ReLU6.
        padding: See `ConvNormAct`.
        norm_epsilon: See `ConvNormAct`.
        norm_momentum: See `ConvNormAct`.

    Source: paper, section 3.4 and Table 1; the variants are those of section 6.4, Figure 6.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        expansion: int,
        stride: int,
        dilation: int = 1,
        shortcut: Shortcut = "bottleneck",
        linear: bool = True,
        padding: Padding = "symmetric",
        norm_epsilon: float = 1e-5,
        norm_momentum: float = 0.1,
    ) -> None:
        super().__init__()
        hidden = in_channels * expansion
        self.shortcut = shortcut if in_channels == out_channels else "none"
        layer: dict[str, Any] = {"norm_epsilon": norm_epsilon, "norm_momentum": norm_momentum}
        self.expand = nn.Identity() if expansion == 1 else ConvNormAct(in_channels, hidden, **layer)
        self.depthwise = ConvNormAct(
            hidden,
            hidden,
            3,
            stride=stride,
            groups=hidden,
            dilation=dilation,
            padding=padding,
            **layer,
        )
        self.project = ConvNormAct(
            hidden, out_channels, activation=None if linear else nn.ReLU6, **layer
        )

    def forward(self, features: Tensor, carried: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The block's output, and its expansion (after ReLU6, before the depthwise layer).

        `carried` is the expansion of the block before, where its shortcut is `expansion`.
        """
        expanded = self.expand(features)
        if carried is not None:
            expanded = expanded + carried
        projected = self.project(self.depthwise(expanded))
        adds = self.shortcut == "bottleneck"
        return (features + projected if adds else projected), expanded


def initialize(module: nn.Module) -> None:
    """Random weights for convolutions (truncated normal, deviation 0.03) and identity for norms.

    Every convolution is followed by a norm, so the scale sets no activations, only how fast
    the weights turn: He's larger weights learned slower in the built-in example.

    Source: `conv_hyperparams` of the release's feature extractor and predictor.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.trunc_normal_(layer.weight, std=0.03, a=-0.06, b=0.06)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.BatchNorm2d):
            nn.init.ones_(layer.weight)
            nn.init.zeros_(layer.bias)
