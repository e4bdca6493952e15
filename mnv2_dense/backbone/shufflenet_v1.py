"""ShuffleNet v1 with named taps (arXiv 1707.01083), one of the networks compared with."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from mnv2_dense.backbone.backbone import DefaultTaps, Step, check_output_stride, plan_steps
from mnv2_dense.backbone.blocks import ConvNormAct, Padding, initialize
from mnv2_dense.backbone.pooling import AveragePool, MaxPool
from mnv2_dense.backbone.staged import StagedBackbone, name_units
from mnv2_dense.structures import FeatureSpec

UNITS = (4, 8, 4)
"""Units of stages 2, 3 and 4; the first of each has stride 2."""
STAGE_CHANNELS = {1: 144, 2: 200, 3: 240, 4: 272, 8: 384}
"""Channels of stage 2 by groups, at width 1; they double from stage to stage (Table 1)."""
STEM_CHANNELS = {0.5: 12, 1.0: 24, 1.5: 24, 2.0: 48}
"""Channels of the first convolution by width. At 1.5 it does not grow: only so do parameters and
multiply-adds agree with those printed for 1.5 and for 2."""
BOTTLENECK = 4
"""Channels of a unit's output per channel of its depthwise layer."""


class UnitPlan(NamedTuple):
    """Geometry of one unit, after width, groups and output stride are settled."""

    in_channels: int
    out_channels: int
    entry_groups: int
    reduces: bool
    step: Step


class ShuffleNetV1(StagedBackbone):
    """Bottleneck units of grouped 1x1 convolutions, with a shuffle of channels between groups.

    Taps are `stem`, `pool` and the outputs of the units, `stage_2_unit_1` to `stage_2_unit_4`,
    `stage_3_unit_1` to `stage_3_unit_8` and `stage_4_unit_1` to `stage_4_unit_4`.

    Args:
        taps: Names of the feature maps to return.
        width_mult: 0.5, 1, 1.5 or 2: channels of the stages, relative to the paper's table.
        groups: 1, 2, 3, 4 or 8: groups of the 1x1 convolutions. A narrow network does not have
            all of them, as they must divide its channels.
        stem_channels: Channels of the first convolution; None takes those published.
        output_stride: 8, 16 or 32; dilation takes the place of the strides that are left out.
        padding: `symmetric` (torchvision) or `same` (TensorFlow).
        norm_epsilon: Epsilon of the batch norms.
        norm_momentum: Momentum of the running statistics, in PyTorch's sense.

    Raises:
        ValueError: A width, group count, tap or output stride that does not exist, or no tap.

    Source: its paper, Table 1 and Figure 2.
    """

    default_taps = DefaultTaps(
        detection=("stage_3_unit_8", "stage_4_unit_4"),
        segmentation="stage_4_unit_4",
        auxiliary="stage_3_unit_8",
        low_level="stage_2_unit_4",
        classification="stage_4_unit_4",
    )

    def __init__(
        self,
        taps: Sequence[str] = default_taps.detection,
        *,
        width_mult: float = 1.0,
        groups: int = 3,
        stem_channels: int | None = None,
        output_stride: int = 32,
        padding: Padding = "symmetric",
        norm_epsilon: float = 1e-5,
        norm_momentum: float = 0.1,
    ) -> None:
        check_width(width_mult)
        stem_channels = stem_channels or STEM_CHANNELS[width_mult]
        check_groups(groups, width_mult, stem_channels)
        check_output_stride(output_stride)
        plans = list(plan_units(width_mult, groups, stem_channels, output_stride))
        super().__init__(all_taps(plans), taps, "shufflenet_v1")

        layer: dict[str, Any] = {
            "padding": padding,
            "norm_epsilon": norm_epsilon,
            "norm_momentum": norm_momentum,
        }
        self.stem = ConvNormAct(3, stem_channels, 3, stride=2, activation=nn.ReLU, **layer)
        self.pool = MaxPool(padding)
        self.blocks = nn.ModuleList(
            ShuffleUnit(plan, groups, **layer) for plan in plans[: self.num_blocks]
        )
        initialize(self)


class ShuffleUnit(nn.Module):
    """Grouped 1x1, shuffle, depthwise 3x3, grouped 1x1, and the unit's input beside or added.

    A unit that the paper gives stride 2 puts the average of its input beside its own layers'
    channels, even if dilation took the stride's place; any other adds its input to them.

    Args:
        plan: Channels, stride and dilation.
        groups: Groups of the 1x1 convolutions, the very first excepted (see `plan_units`).
        padding: See `ConvNormAct`.
        layer: Epsilon and momentum of the norms, see `ConvNormAct`.

    Source: its paper, Figure 2b and 2c; no activation behind the depthwise layer.
    """

    def __init__(
        self, plan: UnitPlan, groups: int, *, padding: Padding = "symmetric", **layer: Any
    ) -> None:
        super().__init__()
        hidden = plan.out_channels // BOTTLENECK
        own = plan.out_channels - plan.in_channels if plan.reduces else plan.out_channels
        window = {"stride": plan.step.stride, "dilation": plan.step.dilation, "padding": padding}
        self.groups = groups
        self.reduce = ConvNormAct(
            plan.in_channels, hidden, groups=plan.entry_groups, activation=nn.ReLU, **layer
        )
        self.depthwise = ConvNormAct(
            hidden, hidden, 3, groups=hidden, activation=None, **window, **layer
        )
        self.expand = ConvNormAct(hidden, own, groups=groups, activation=None, **layer)
        self.shortcut = AveragePool(**window) if plan.reduces else None
        self.activation = nn.ReLU()

    def forward(self, features: Tensor) -> Tensor:
        """Feature map [B, out, ceil(H / stride), ceil(W / stride)]."""
        own = self.expand(self.depthwise(shuffle_channels(self.reduce(features), self.groups)))
        if self.shortcut is None:
            return self.activation(features + own)
        return self.activation(torch.cat([self.shortcut(features), own], dim=1))


def shuffle_channels(features: Tensor, groups: int) -> Tensor:
    """Maps [B, C, H, W] with the first channels of all groups first, then the second ones, ...

    Source: its paper, section 3.1.
    """
    return features.unflatten(1, (groups, -1)).transpose(1, 2).flatten(1, 2)


def plan_units(
    width_mult: float, groups: int, stem_channels: int, output_stride: int
) -> Iterator[UnitPlan]:
    """The 16 units; the first 1x1 of all is not grouped, as its input has few channels."""
    strides = [2 if index == 0 else 1 for count in UNITS for index in range(count)]
    stages = [stage for stage, count in enumerate(UNITS) for _ in range(count)]
    before, entry_groups = stem_channels, 1
    steps = plan_steps(strides, output_stride, input_stride=4)
    for stage, wanted, step in zip(stages, strides, steps, strict=True):
        channels = int(STAGE_CHANNELS[groups] * width_mult) * 2**stage
        yield UnitPlan(before, channels, entry_groups, wanted == 2, step)
        before, entry_groups = channels, groups


def all_taps(plans: Sequence[UnitPlan]) -> Iterator[FeatureSpec]:
    """Every tap that the planned network has, in the order of the data flow."""
    yield FeatureSpec("stem", plans[0].in_channels, 2)
    yield FeatureSpec("pool", plans[0].in_channels, 4)
    for name, plan in zip(name_units(UNITS, first_stage=2), plans, strict=True):
        yield FeatureSpec(name, plan.out_channels, plan.step.output_stride)


def check_width(width_mult: float) -> None:
    """Refuses a width that was not published.

    Raises:
        ValueError: With those that were.
    """
    if width_mult not in STEM_CHANNELS:
        known = ", ".join(f"{width:g}" for width in STEM_CHANNELS)
        raise ValueError(f"shufflenet_v1 has no width_mult {width_mult:g}; it has {known}")


def check_groups(groups: int, width_mult: float, stem_channels: int) -> None:
    """Refuses a group count that was not published, or that does not divide the channels.

    Raises:
        ValueError: With those that exist at the width.
    """
    known = [count for count in STAGE_CHANNELS if divides(count, width_mult, stem_channels)]
    if groups not in known:
        raise ValueError(
            f"shufflenet_v1 has no groups={groups} at width_mult {width_mult:g} with "
            f"{stem_channels} channels in the stem; it has {', '.join(map(str, known))}"
        )


def divides(groups: int, width_mult: float, stem_channels: int) -> bool:
    """Whether a group count divides the inputs and outputs of every grouped convolution."""
    channels = int(STAGE_CHANNELS[groups] * width_mult)
    return channels // BOTTLENECK % groups == 0 and (channels - stem_channels) % groups == 0
