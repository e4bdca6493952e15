"""SSD's head, in the form of SSDLite or in full: extra levels and prediction layers."""

from collections.abc import Sequence
from typing import Any, NamedTuple

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


class SSDHead(nn.Module):
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
        separable: Whether 3x3 layers are depthwise and followed by 1x1 (SSDLite); otherwise
            they are full convolutions, and a branch is one of them without norm (SSD).

    Attributes:
        class_layers: Names of the layers whose outputs are class logits.

    Raises:
        ValueError: A tap is finer than the one before it.

    Source: paper, section 6.2 and Table 5; SSD (arXiv 1512.02325), section 2.1; geometry as in
    the release (see the figures in the tests).
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
        separable: bool = True,
    ) -> None:
        super().__init__()
        check_order(taps)
        self.tap_names = [tap.name for tap in taps]
        self.num_slots = num_slots
        extras = [max(int(depth * width_mult), MIN_EXTRA_CHANNELS) for depth in extra_channels]
        channels = [tap.channels for tap in taps] + extras
        layer: dict[str, Any] = {
            "separable": separable,
            "norm_epsilon": norm_epsilon,
            "norm_momentum": norm_momentum,
        }
        first = len(taps) - 1
        self.extras = nn.ModuleList(
            extra_level(channels[first + i], depth, padding, **layer)
            for i, depth in enumerate(extras)
        )
        levels = list(zip(channels, anchors_per_cell, strict=True))
        self.class_branches = nn.ModuleList(
            prediction_layer(depth, count * num_slots, **layer) for depth, count in levels
        )
        self.box_branches = nn.ModuleList(
            prediction_layer(depth, count * 4, **layer) for depth, count in levels
        )
        last = 1 if separable else 0
        self.class_layers = [f"class_branches.{level}.{last}" for level in range(len(levels))]
        initialize(self)
        for name in self.class_layers:
            nn.init.constant_(self.get_parameter(f"{name}.bias"), class_bias)

    def forward(self, features: dict[str, Tensor]) -> HeadOutputs:
        """Predictions of every level, concatenated in the order of the anchors."""
        levels = [features[name] for name in self.tap_names]
        for extra in self.extras:
            levels.append(extra(levels[-1]))
        logits = _per_anchor(self.class_branches, levels, self.num_slots)
        deltas = _per_anchor(self.box_branches, levels, 4)
        return HeadOutputs(logits, deltas, [ImageSize(*level.shape[-2:]) for level in levels])


def check_order(taps: Sequence[FeatureSpec]) -> None:
    """Refuses taps of which one is finer than the one before it, or there twice.

    Raises:
        ValueError: The extra levels, and the anchors that grow by level, would not fit.
    """
    if len(set(taps)) < len(taps):
        raise ValueError(f"a tap is given twice: {', '.join(tap.name for tap in taps)}")
    strides = [tap.stride for tap in taps]
    if strides != sorted(strides):
        found = ", ".join(f"{tap.name} at stride {tap.stride}" for tap in taps)
        raise ValueError(f"taps must be given finest first, not {found}")


def extra_level(
    in_channels: int,
    out_channels: int,
    padding: Padding,
    *,
    separable: bool,
    norm_epsilon: float,
    norm_momentum: float,
) -> nn.Sequential:
    """A level of half the resolution: 1x1 to half the depth, then 3x3 / 2 to all of it.

    If `separable`, the 3x3 is depthwise and a 1x1 follows. All have norm and ReLU6.
    """
    norm: dict[str, Any] = {"norm_epsilon": norm_epsilon, "norm_momentum": norm_momentum}
    half = max(out_channels // 2, MIN_EXTRA_CHANNELS)
    reduce = ConvNormAct(in_channels, half, **norm)
    strided: dict[str, Any] = {"kernel_size": 3, "stride": 2, "padding": padding, **norm}
    if not separable:
        return nn.Sequential(reduce, ConvNormAct(half, out_channels, **strided))
    return nn.Sequential(
        reduce,
        ConvNormAct(half, half, groups=half, **strided),
        ConvNormAct(half, out_channels, **norm),
    )


def prediction_layer(
    in_channels: int,
    out_channels: int,
    *,
    separable: bool,
    norm_epsilon: float,
    norm_momentum: float,
) -> nn.Sequential:
    """A branch of one level: 3x3 with bias.

    If `separable`, depthwise 3x3 with norm and ReLU6, then 1x1 with bias.
    """
    if not separable:
        return nn.Sequential(nn.Conv2d(in_channels, out_channels, 3, padding=1))
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
