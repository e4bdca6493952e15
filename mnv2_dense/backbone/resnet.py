"""ResNet-101 in the form of the DeepLab authors, with named taps: the large network compared with.

Source: ResNet (arXiv 1512.03385), Table 1; the `beta` variant of the DeepLab release
(`resnet_v1_beta.py`, and slim's `resnet_utils.py`).
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from torch import Tensor, nn

from mnv2_dense.backbone.backbone import DefaultTaps, check_output_stride, plan_steps
from mnv2_dense.backbone.blocks import ConvNormAct, Padding, initialize
from mnv2_dense.backbone.pooling import MaxPool
from mnv2_dense.backbone.staged import StagedBackbone, name_units
from mnv2_dense.structures import FeatureSpec

ROOT_CHANNELS = (64, 64, 128)
"""Channels of the three 3x3 convolutions that take the place of the 7x7 one."""
UNITS = (3, 4, 23, 3)
"""Units of stages 1 to 4."""
HIDDEN_CHANNELS = (64, 128, 256, 512)
"""Channels of the 3x3 convolutions of stages 1 to 4."""
EXPANSION = 4
"""Channels of a unit's output per channel of its 3x3 convolution."""


class UnitPlan(NamedTuple):
    """Geometry of one unit, after output stride and multi-grid are settled."""

    in_channels: int
    hidden_channels: int
    stride: int
    dilation: int
    output_stride: int

    @property
    def out_channels(self) -> int:
        """Channels of the unit's output."""
        return self.hidden_channels * EXPANSION


class ResNet101(StagedBackbone):
    """Root of three 3x3 convolutions, and 33 bottleneck units whose strides end the stages.

    Taps are `stem` (the root), `pool` and the outputs of the units, `stage_1_unit_1` to
    `stage_4_unit_3`. As the last unit of a stage has its stride, the last map of stride 16 is
    `stage_3_unit_22`.

    Args:
        taps: Names of the feature maps to return.
        output_stride: 8, 16 or 32; dilation takes the place of the strides that are left out.
        multi_grid: Factors on the dilation of the three units of stage 4.
        padding: Of the pool alone: `symmetric` (torchvision) or `same` (TensorFlow). The strided
            convolutions of the release pad symmetrically by themselves.
        norm_epsilon: Epsilon of the batch norms.
        norm_momentum: Momentum of the running statistics, in PyTorch's sense.

    Raises:
        ValueError: An unknown tap, no tap, another output stride or length of `multi_grid`.

    Source: see the module; multi-grid: DeepLabv3 (arXiv 1706.05587), section 3.2.
    """

    default_taps = DefaultTaps(
        detection=("stage_3_unit_22", "stage_4_unit_3"),
        segmentation="stage_4_unit_3",
        auxiliary="stage_3_unit_22",
        low_level="stage_2_unit_3",
        classification="stage_4_unit_3",
    )

    def __init__(
        self,
        taps: Sequence[str] = default_taps.detection,
        *,
        output_stride: int = 32,
        multi_grid: Sequence[int] = (1, 2, 4),
        padding: Padding = "symmetric",
        norm_epsilon: float = 1e-5,
        norm_momentum: float = 0.1,
    ) -> None:
        check_output_stride(output_stride)
        plans = list(plan_units(output_stride, multi_grid))
        super().__init__(all_taps(plans), taps, "resnet_101")

        layer: dict[str, Any] = {"norm_epsilon": norm_epsilon, "norm_momentum": norm_momentum}
        self.stem = build_root(**layer)
        self.pool = MaxPool(padding)
        self.blocks = nn.ModuleList(
            BottleneckUnit(plan, **layer) for plan in plans[: self.num_blocks]
        )
        initialize(self)


class BottleneckUnit(nn.Module):
    """1x1, 3x3 with the stride, 1x1 to four times the channels; added to the unit's input.

    The input is projected where channels change, and otherwise thinned out to the stride. No
    unit of this network does both.

    Args:
        plan: Channels, stride and dilation.
        layer: Epsilon and momentum of the norms, see `ConvNormAct`.

    Source: ResNet (arXiv 1512.03385), Figure 5; stride and shortcut as in the release.
    """

    def __init__(self, plan: UnitPlan, **layer: Any) -> None:
        super().__init__()
        hidden, out = plan.hidden_channels, plan.out_channels
        self.stride = plan.stride
        self.reduce = ConvNormAct(plan.in_channels, hidden, activation=nn.ReLU, **layer)
        self.spatial = ConvNormAct(
            hidden,
            hidden,
            3,
            stride=plan.stride,
            dilation=plan.dilation,
            activation=nn.ReLU,
            **layer,
        )
        self.expand = ConvNormAct(hidden, out, activation=None, **layer)
        self.shortcut = (
            nn.Identity()
            if plan.in_channels == out
            else ConvNormAct(plan.in_channels, out, activation=None, **layer)
        )
        self.activation = nn.ReLU()

    def forward(self, features: Tensor) -> Tensor:
        """Feature map [B, out, ceil(H / stride), ceil(W / stride)]."""
        kept = self.shortcut(features)[..., :: self.stride, :: self.stride]
        return self.activation(kept + self.expand(self.spatial(self.reduce(features))))


def build_root(**layer: Any) -> nn.Sequential:
    """The first three convolutions, with norm and ReLU; the first has stride 2."""
    return nn.Sequential(
        *(
            ConvNormAct(before, after, 3, stride=stride, activation=nn.ReLU, **layer)
            for (before, after), stride in zip(
                pairwise((3, *ROOT_CHANNELS)), (2, 1, 1), strict=True
            )
        )
    )


def plan_units(output_stride: int, multi_grid: Sequence[int]) -> Iterator[UnitPlan]:
    """The 33 units; the last of stages 1 to 3 has stride 2.

    Raises:
        ValueError: Not one factor of `multi_grid` for each unit of stage 4.
    """
    if len(multi_grid) != UNITS[-1]:
        raise ValueError(f"multi_grid needs {UNITS[-1]} factors, not {len(multi_grid)}")
    hidden = [depth for depth, n in zip(HIDDEN_CHANNELS, UNITS, strict=True) for _ in range(n)]
    ends = [sum(UNITS[:stage]) - 1 for stage in (1, 2, 3)]
    strides = [2 if index in ends else 1 for index in range(len(hidden))]
    factors = [1] * sum(UNITS[:-1]) + list(multi_grid)
    steps = plan_steps(strides, output_stride, input_stride=4)
    before = ROOT_CHANNELS[-1]
    for depth, factor, step in zip(hidden, factors, steps, strict=True):
        plan = UnitPlan(before, depth, step.stride, step.dilation * factor, step.output_stride)
        before = plan.out_channels
        yield plan


def all_taps(plans: Sequence[UnitPlan]) -> Iterator[FeatureSpec]:
    """Every tap that the planned network has, in the order of the data flow."""
    yield FeatureSpec("stem", ROOT_CHANNELS[-1], 2)
    yield FeatureSpec("pool", ROOT_CHANNELS[-1], 4)
    for name, plan in zip(name_units(UNITS, first_stage=1), plans, strict=True):
        yield FeatureSpec(name, plan.out_channels, plan.output_stride)
