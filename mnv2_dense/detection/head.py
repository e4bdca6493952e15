"""SSDLite's head: extra levels and depthwise-separable prediction layers."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from mnv2_dense.backbone.blocks import ConvNormAct, Padding, initialize
from mnv2_dense.structures import FeatureSpec, ImageSize

MIN_EXTRA_CHANNELS = 16
"""Least depth of either 1x1 layer of an extra level (the TF release's `min_depth`)."""


class HeadOutputs(NamedTuple):
    """Raw predictions: class_logits [B, A, 1 + C] (background first), box_deltas [B, A, 4]."""

    class_logits: Tensor
    box_deltas: Tensor
    feature_sizes: list[ImageSize]


class SSDLiteHead(nn.Module):
    """Extra levels behind the last tap, and separate class and box branches on every level.

    Args:
        taps: Feature maps of the backbone that predict, finest first.
        anchors_per_cell: Anchors of each level: the taps, then the extra levels.
        num_slots: Class slots per anchor, background included.
        extra_channels: Output channels of the extra levels.
        width_mult: Factor on `extra_channels`.
        padding: See `ConvNormAct`.
        norm_epsilon: See `ConvNormAct`.
        norm_momentum: See `ConvNormAct`.
        class_bias: First bias of every class logit.

    Source: paper, section 6.2; geometry as in the release (see the figures in the tests).
    """

    def __init__(
        self,
        taps: Sequence[FeatureSpec],
        anchors_per_cell: Sequence[int],
        num_slots: int,
        *,
        extra_channels: Sequence[int] = (512, 256, 256, 128),
        width_mult: float = 1.0,
        padding: Padding = "symmetric",
        norm_epsilon: float = 1e-5,
        norm_momentum: float = 0.1,
        class_bias: float = 0.0,
    ) -> None:
        super().__init__()
        self.tap_names = [tap.name for tap in taps]
        self.num_slots = num_slots
        extras = [max(int(depth * width_mult), MIN_EXTRA_CHANNELS) for depth in extra_channels]
        channels = [tap.channels for tap in taps] + extras
        norm = {"norm_epsilon": norm_epsilon, "norm_momentum": norm_momentum}
        first = len(taps) - 1
        self.extras = nn.ModuleList(
            extra_level(channels[first + i], depth, padding, **norm)
            for i, depth in enumerate(extras)
        )
        levels = list(zip(channels, anchors_per_cell, strict=True))
        self.class_branches = nn.ModuleList(
            prediction_layer(depth, count * num_slots, **norm) for depth, count in levels
        )
        self.box_branches = nn.ModuleList(
            prediction_layer(depth, count * 4, **norm) for depth, count in levels
        )
        initialize(self)
        for branch in self.class_branches:
            nn.init.constant_(branch.get_parameter("1.bias"), class_bias)

    def forward(self, features: dict[str, Tensor]) -> HeadOutputs:
        """Predictions of every level, concatenated in the order of the anchors."""
        levels = [features[name] for name in self.tap_names]
        for extra in self.extras:
            levels.append(extra(levels[-1]))
        logits = _per_anchor(self.class_branches, levels, self.num_slots)
        deltas = _per_anchor(self.box_branches, levels, 4)
        return HeadOutputs(logits, deltas, [ImageSize(*level.shape[-2:]) for level in levels])


def extra_level(
    in_channels: int,
    out_channels: int,
    padding: Padding,
    *,
    norm_epsilon: float,
    norm_momentum: float,
) -> nn.Sequential:
    """A level of half the resolution: 1x1 to half the depth, depthwise 3x3 / 2, 1x1."""
    norm = {"norm_epsilon": norm_epsilon, "norm_momentum": norm_momentum}
    half = max(out_channels // 2, MIN_EXTRA_CHANNELS)
    return nn.Sequential(
        ConvNormAct(in_channels, half, **norm),
        ConvNormAct(half, half, 3, stride=2, groups=half, padding=padding, **norm),
        ConvNormAct(half, out_channels, **norm),
    )


def prediction_layer(
    in_channels: int, out_channels: int, *, norm_epsilon: float, norm_momentum: float
) -> nn.Sequential:
    """A branch of one level: depthwise 3x3 with norm and ReLU6, then 1x1 with bias."""
    return nn.Sequential(
        ConvNormAct(
            in_channels,
            in_channels,
            3,
            groups=in_channels,
            norm_epsilon=norm_epsilon,
            norm_momentum=norm_momentum,
        ),
        nn.Conv2d(in_channels, out_channels, 1),
    )


def _per_anchor(branches: nn.ModuleList, levels: Sequence[Tensor], slots: int) -> Tensor:
    """Outputs [B, A, slots] of one branch per level, cells row-major, anchors within cells."""
    flat = [
        branch(level).permute(0, 2, 3, 1).reshape(len(level), -1, slots)
        for branch, level in zip(branches, levels, strict=True)
    ]
    return torch.cat(flat, dim=1)
