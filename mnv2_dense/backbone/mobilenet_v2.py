"""MobileNetV2 with named taps (arXiv 1801.04381, Table 2)."""

from collections.abc import Iterator, Sequence
from itertools import takewhile
from typing import Any, NamedTuple

from torch import Tensor, nn

from mnv2_dense.backbone.backbone import (
    Backbone,
    DefaultTaps,
    check_output_stride,
    choose_taps,
    plan_steps,
)
from mnv2_dense.backbone.blocks import (
    ConvNormAct,
    InvertedResidual,
    Padding,
    Shortcut,
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
PUBLISHED_WIDTHS = (0.35, 0.5, 0.75, 1.0, 1.3, 1.4)
"""Width multipliers of the authors' released classifiers (the paper's range: section 6.1)."""
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


def plan_blocks(
    width_mult: float,
    output_stride: int,
    expansion: int = 6,
    min_channels: int = 8,
    channel_divisor: int = 8,
) -> list[BlockPlan]:
    """The 17 bottlenecks of Table 2; see `MobileNetV2` for the arguments."""

    def channels_of(published: int) -> int:
        return make_divisible(published * width_mult, channel_divisor, min_channels)

    rows = [
        (1 if t == 1 else expansion, channels_of(c), s if i == 0 else 1)
        for t, c, n, s in BOTTLENECKS
        for i in range(n)
    ]
    plans: list[BlockPlan] = []
    channels = channels_of(STEM_CHANNELS)
    steps = plan_steps([wanted for _, _, wanted in rows], output_stride)
    for (t, out, wanted), step in zip(rows, steps, strict=True):
        stride, dilation, before = step
        plans.append(BlockPlan(t, channels, out, stride, dilation, wanted == 1, before))
        channels = out
    return plans


class MobileNetV2(Backbone):
    """The feature extractor of the paper.

    Taps are `stem`, `block_0` to `block_16`, `block_1_expansion` to `block_16_expansion`
    (inside the block, after ReLU6, before its depthwise layer; at factor 1, where there is no
    expansion layer, the block's input) and `last` (1280 channels).

    Args:
        taps: Names of the feature maps to return.
        width_mult: Channels of every layer, relative to the paper; `last` never shrinks.
        output_stride: 8, 16 or 32; dilation takes the place of the strides that are left out.
        expansion: Factor t of every bottleneck but the first, whose factor stays 1.
        min_channels: Least channels of the stem and of every bottleneck's output; at 8, that of
            the published widths, only the rounding decides.
        channel_divisor: Channels are rounded to its multiples (8 in the published widths, 1 in
            the authors' narrow DeepLabs).
        last_channels: Channels of `last`; None takes the paper's 1280, times `width_mult` where
            that is above 1.
        first_shortcut: Whether the first bottleneck has a shortcut, too, where it keeps its
            channels (in narrow networks only; those of TF's Keras code have none there).
        linear_bottleneck: See `InvertedResidual`.
        shortcut: See `InvertedResidual`.
        padding: `symmetric` (torchvision) or `same` (TensorFlow).
        norm_epsilon: Epsilon of the batch norms.
        norm_momentum: Momentum of the running statistics, in PyTorch's sense.

    Raises:
        ValueError: An unknown tap, no tap, or another output stride.
    """

    default_taps = DefaultTaps(
        detection=SSD_TAPS,
        segmentation=DEEPLAB_TAP,
        auxiliary="block_12",
        low_level="block_5",
        classification="last",
    )

    def __init__(
        self,
        taps: Sequence[str] = SSD_TAPS,
        *,
        width_mult: float = 1.0,
        output_stride: int = 32,
        expansion: int = 6,
        min_channels: int = 8,
        channel_divisor: int = 8,
        last_channels: int | None = None,
        first_shortcut: bool = True,
        linear_bottleneck: bool = True,
        shortcut: Shortcut = "bottleneck",
        padding: Padding = "symmetric",
        norm_epsilon: float = 1e-5,
        norm_momentum: float = 0.1,
    ) -> None:
        super().__init__()
        check_output_stride(output_stride)
        plans = plan_blocks(width_mult, output_stride, expansion, min_channels, channel_divisor)
        if not first_shortcut:
            plans[0] = plans[0]._replace(shortcut=False)
        last_channels = last_channels or plan_last(width_mult)
        self.specs = choose_taps(all_taps(plans, last_channels), taps, "mobilenet_v2")

        depth = max(_blocks_needed(tap) for tap in taps)
        layer: dict[str, Any] = {"norm_epsilon": norm_epsilon, "norm_momentum": norm_momentum}
        self.stem = ConvNormAct(3, plans[0].in_channels, 3, stride=2, padding=padding, **layer)
        self.blocks = nn.ModuleList(
            InvertedResidual(
                plan.in_channels,
                plan.out_channels,
                expansion=plan.expansion,
                stride=plan.stride,
                dilation=plan.dilation,
                shortcut=_allowed_shortcut(shortcut, plan, expansion),
                linear=linear_bottleneck,
                padding=padding,
                **layer,
            )
            for plan in plans[:depth]
        )
        last = {spec.name: spec.channels for spec in self.specs}.get("last")
        self.last = None if last is None else ConvNormAct(plans[-1].out_channels, last, **layer)
        initialize(self)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Feature maps by tap, of images [B, 3, H, W] (normalised RGB)."""
        features = self.stem(images)
        maps = {"stem": features}
        carried = None
        for index, block in enumerate(self.blocks):
            features, expanded = block(features, carried)
            carried = expanded if block.shortcut == "expansion" else None
            maps[f"block_{index}_expansion"] = expanded
            maps[f"block_{index}"] = features
        if self.last is not None:
            maps["last"] = self.last(features)
        return {spec.name: maps[spec.name] for spec in self.specs}


def plan_last(width_mult: float) -> int:
    """Channels of the last layer, which never shrinks, as in the published widths."""
    return make_divisible(LAST_CHANNELS * max(1.0, width_mult))


def all_taps(plans: Sequence[BlockPlan], last_channels: int) -> Iterator[FeatureSpec]:
    """Every tap that the planned network has, in the order of the data flow."""
    yield FeatureSpec("stem", plans[0].in_channels, 2)
    for index, plan in enumerate(plans):
        if index > 0:
            expanded = plan.in_channels * plan.expansion
            yield FeatureSpec(f"block_{index}_expansion", expanded, plan.input_stride)
        yield FeatureSpec(f"block_{index}", plan.out_channels, plan.output_stride)
    yield FeatureSpec("last", last_channels, plans[-1].output_stride)


def _allowed_shortcut(wanted: Shortcut, plan: BlockPlan, expansion: int) -> Shortcut:
    """The shortcut of a block; its shapes are left to the block.

    The first block's expansion is its input, of another depth than the second block's unless
    all factors are 1.
    """
    if not plan.shortcut or (wanted == "expansion" and plan.expansion != expansion):
        return "none"
    return wanted


def _blocks_needed(tap: str) -> int:
    """How many bottlenecks must exist for a tap."""
    if tap == "stem":
        return 0
    if tap == "last":
        return sum(n for _, _, n, _ in BOTTLENECKS)
    digits = "".join(takewhile(str.isdigit, tap.removeprefix("block_")))
    return int(digits) + 1
