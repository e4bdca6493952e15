"""MobileNetV2 with named taps (arXiv 1801.04381, Table 2)."""

from collections.abc import Iterable, Sequence
from itertools import takewhile
from typing import NamedTuple

from torch import Tensor, nn

from mnv2_dense.backbone.blocks import (
    ConvNormAct,
    InvertedResidual,
    Padding,
    initialize,
    make_divisible,
)
from mnv2_dense.structures import FeatureSpec

# Table 2 of the paper: expansion t, channels c, repeats n, stride s.
BOTTLENECKS = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
STEM_CHANNELS = 32
LAST_CHANNELS = 1280

SSD_TAPS = ("block_13_expansion", "last")
"""SSDLite's taps: 576 channels at stride 16, 1280 at stride 32 (paper, section 6.2)."""
DEEPLAB_TAP = "block_16"
"""DeepLabv3's tap: the 320-channel map (paper, section 6.3)."""


class BlockPlan(NamedTuple):
    """Geometry of one bottleneck, after width, output stride and dilation are settled."""

    expansion: int
    in_channels: int
    out_channels: int
    stride: int
    dilation: int
    shortcut: bool
    input_stride: int

    @property
    def output_stride(self) -> int:
        """Input pixels per cell of the block's output."""
        return self.input_stride * self.stride


def plan_blocks(width_mult: float, output_stride: int) -> list[BlockPlan]:
    """The 17 bottlenecks of Table 2 at a width and an output stride.

    A block that loses its stride keeps the old dilation for its own depthwise layer; the
    blocks behind it get the dilation multiplied by the lost stride.

    Source: the atrous rule of the authors' released DeepLab code.
    """
    plans: list[BlockPlan] = []
    channels = make_divisible(STEM_CHANNELS * width_mult)
    current, dilation = 2, 1
    for t, c, n, s in BOTTLENECKS:
        out = make_divisible(c * width_mult)
        for i in range(n):
            wanted = s if i == 0 else 1
            stride = wanted if current * wanted <= output_stride else 1
            plans.append(BlockPlan(t, channels, out, stride, dilation, wanted == 1, current))
            current *= stride
            dilation *= wanted // stride
            channels = out
    return plans


class MobileNetV2(nn.Module):
    """The feature extractor: returns the taps it was asked for, and holds no block behind them.

    Taps are `stem`, `block_0` to `block_16`, `block_1_expansion` to `block_16_expansion`
    (inside the block, after ReLU6, before its depthwise layer) and `last` (1280 channels).

    Args:
        taps: Names of the feature maps to return.
        width_mult: Channels of every layer, relative to the paper; `last` never shrinks.
        output_stride: 8, 16 or 32; dilation takes the place of the strides that are left out.
        padding: `symmetric` (torchvision) or `same` (TensorFlow).
        norm_epsilon: Epsilon of the batch norms.
        norm_momentum: Momentum of the running statistics, in PyTorch's sense.

    Raises:
        ValueError: An unknown tap, no tap, or another output stride.
    """

    specs: tuple[FeatureSpec, ...]

    def __init__(
        self,
        taps: Sequence[str] = SSD_TAPS,
        *,
        width_mult: float = 1.0,
        output_stride: int = 32,
        padding: Padding = "symmetric",
        norm_epsilon: float = 1e-5,
        norm_momentum: float = 0.1,
    ) -> None:
        super().__init__()
        if output_stride not in (8, 16, 32):
            raise ValueError(f"output_stride must be 8, 16 or 32, not {output_stride}")
        plans = plan_blocks(width_mult, output_stride)
        known = {spec.name: spec for spec in all_taps(plans, width_mult)}
        if unknown := [tap for tap in taps if tap not in known]:
            raise ValueError(f"unknown taps {unknown}; MobileNetV2 has {', '.join(known)}")
        if not taps:
            raise ValueError("a backbone needs at least one tap")
        self.specs = tuple(known[tap] for tap in taps)
        self._taps = frozenset(taps)

        depth = max(_blocks_needed(tap) for tap in taps)
        stem_channels = make_divisible(STEM_CHANNELS * width_mult)
        self.stem = ConvNormAct(
            3,
            stem_channels,
            3,
            stride=2,
            padding=padding,
            norm_epsilon=norm_epsilon,
            norm_momentum=norm_momentum,
        )
        self.blocks = nn.ModuleList(
            InvertedResidual(
                plan.in_channels,
                plan.out_channels,
                expansion=plan.expansion,
                stride=plan.stride,
                dilation=plan.dilation,
                shortcut=plan.shortcut,
                padding=padding,
                norm_epsilon=norm_epsilon,
                norm_momentum=norm_momentum,
            )
            for plan in plans[:depth]
        )
        self.last = (
            ConvNormAct(
                plans[-1].out_channels,
                known["last"].channels,
                norm_epsilon=norm_epsilon,
                norm_momentum=norm_momentum,
            )
            if "last" in taps
            else None
        )
        initialize(self)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Feature maps by tap, of images [B, 3, H, W] (normalised RGB)."""
        features = self.stem(images)
        maps = {"stem": features}
        for index, block in enumerate(self.blocks):
            features, expanded = block(features)
            maps[f"block_{index}_expansion"] = expanded
            maps[f"block_{index}"] = features
        if self.last is not None:
            maps["last"] = self.last(features)
        return {spec.name: maps[spec.name] for spec in self.specs}


def all_taps(plans: Sequence[BlockPlan], width_mult: float) -> Iterable[FeatureSpec]:
    """Every tap that the planned network has, in the order of the data flow."""
    yield FeatureSpec("stem", plans[0].in_channels, 2)
    for index, plan in enumerate(plans):
        if plan.expansion > 1:
            expanded = plan.in_channels * plan.expansion
            yield FeatureSpec(f"block_{index}_expansion", expanded, plan.input_stride)
        yield FeatureSpec(f"block_{index}", plan.out_channels, plan.output_stride)
    last = make_divisible(LAST_CHANNELS * max(1.0, width_mult))
    yield FeatureSpec("last", last, plans[-1].output_stride)


def _blocks_needed(tap: str) -> int:
    """How many bottlenecks must exist for a tap."""
    if tap == "stem":
        return 0
    if tap == "last":
        return sum(n for _, _, n, _ in BOTTLENECKS)
    digits = "".join(takewhile(str.isdigit, tap.removeprefix("block_")))
    return int(digits) + 1


class MobileNetV2Classifier(nn.Module):
    """MobileNetV2 with the ImageNet classifier on the `last` tap: average, dropout, linear.

    Args:
        num_classes: Length of the logits.
        dropout: Share of pooled features dropped in training.
        width_mult: See `MobileNetV2`; so are the rest.
        padding: See `MobileNetV2`.
        norm_epsilon: See `MobileNetV2`.
        norm_momentum: See `MobileNetV2`.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        *,
        dropout: float = 0.2,
        width_mult: float = 1.0,
        padding: Padding = "symmetric",
        norm_epsilon: float = 1e-5,
        norm_momentum: float = 0.1,
    ) -> None:
        super().__init__()
        self.backbone = MobileNetV2(
            ("last",),
            width_mult=width_mult,
            padding=padding,
            norm_epsilon=norm_epsilon,
            norm_momentum=norm_momentum,
        )
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(self.backbone.specs[0].channels, num_classes)
        nn.init.normal_(self.classifier.weight, 0, 0.01)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, images: Tensor) -> Tensor:
        """Logits [B, num_classes] of images [B, 3, H, W] (normalised RGB)."""
        pooled = self.backbone(images)["last"].mean(dim=(2, 3))
        return self.classifier(self.dropout(pooled))
