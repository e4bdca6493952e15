"""MobileNetV1 with named taps (arXiv 1704.04861, Table 1)."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from torch import Tensor, nn

from mnv2_dense.backbone.backbone import (
    Backbone,
    DefaultTaps,
    check_output_stride,
    choose_taps,
    plan_steps,
)
from mnv2_dense.backbone.blocks import ConvNormAct, DepthwiseSeparable, Padding, initialize
from mnv2_dense.structures import FeatureSpec

# Table 1 of its paper: channels and stride of the convolution and of the 13 separable blocks.
LAYERS = (
    (32, 2),
    *((64, 1), (128, 2), (128, 1), (256, 2), (256, 1)),
    *((512, 2), (512, 1), (512, 1), (512, 1), (512, 1), (512, 1)),
    *((1024, 2), (1024, 1)),
)
MIN_CHANNELS = 8
"""Least channels of a layer (the release's `min_depth`)."""


class MobileNetV1(Backbone):
    """Depthwise-separable blocks in a chain, without expansion or shortcut.

    Taps are `Conv2d_0` to `Conv2d_13`, named as in the authors' release: `Conv2d_11` has 512
    channels at stride 16, `Conv2d_13` 1024 at stride 32.

    Args:
        taps: Names of the feature maps to return.
        width_mult: Channels of every layer, relative to the paper.
        output_stride: 8, 16 or 32; dilation takes the place of the strides that are left out.
        padding: `symmetric` (torchvision) or `same` (TensorFlow).
        norm_epsilon: Epsilon of the batch norms.
        norm_momentum: Momentum of the running statistics, in PyTorch's sense.

    Raises:
        ValueError: An unknown tap, no tap, or another output stride.
    """

    default_taps = DefaultTaps(
        detection=("Conv2d_11", "Conv2d_13"),
        segmentation="Conv2d_13",
        auxiliary="Conv2d_11",
        low_level="Conv2d_5",
        classification="Conv2d_13",
    )

    def __init__(
        self,
        taps: Sequence[str] = default_taps.detection,
        *,
        width_mult: float = 1.0,
        output_stride: int = 32,
        padding: Padding = "symmetric",
        norm_epsilon: float = 1e-5,
        norm_momentum: float = 0.1,
    ) -> None:
        super().__init__()
        check_output_stride(output_stride)
        channels = [max(int(c * width_mult), MIN_CHANNELS) for c, _ in LAYERS]
        steps = list(plan_steps([stride for _, stride in LAYERS], output_stride, input_stride=1))
        known = [
            FeatureSpec(f"Conv2d_{index}", depth, step.output_stride)
            for index, (depth, step) in enumerate(zip(channels, steps, strict=True))
        ]
        self.specs = choose_taps(known, taps, "mobilenet_v1")

        depth = 1 + max(known.index(spec) for spec in self.specs)
        layer: dict[str, Any] = {
            "padding": padding,
            "norm_epsilon": norm_epsilon,
            "norm_momentum": norm_momentum,
        }
        self.stem = ConvNormAct(3, channels[0], 3, stride=2, **layer)
        self.blocks = nn.ModuleList(
            DepthwiseSeparable(before, after, stride=step.stride, dilation=step.dilation, **layer)
            for (before, after), step in zip(
                pairwise(channels[:depth]), steps[1:depth], strict=True
            )
        )
        initialize(self)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Feature maps by tap, of images [B, 3, H, W] (normalised RGB)."""
        features = self.stem(images)
        maps = {"Conv2d_0": features}
        for index, block in enumerate(self.blocks, start=1):
            features = block(features)
            maps[f"Conv2d_{index}"] = features
        return {spec.name: maps[spec.name] for spec in self.specs}
