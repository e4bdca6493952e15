import pytest
from torch import Tensor

from mnv2_dense.backbone.backbone import (
    Backbone,
    Step,
    check_output_stride,
    choose_taps,
    plan_steps,
)
from mnv2_dense.structures import FeatureSpec

KNOWN = (
    FeatureSpec("stem", 8, 2),
    *(FeatureSpec(f"block_{index}", 16 + index, 4) for index in range(4)),
    FeatureSpec("last", 64, 8),
)
# MobileNetV2's bottlenecks (paper, Table 2: first stride of each row, then ones) behind a stem of
# stride 2; the convolution and the 13 separable blocks of MobileNetV1 (its Table 1).
V2_STRIDES = (1, 2, 1, 2, 1, 1, 2, 1, 1, 1, 1, 1, 1, 2, 1, 1, 1)
V1_STRIDES = (2, 1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1)


def test_taps_come_in_the_order_asked_for() -> None:
    assert choose_taps(KNOWN, ("last", "stem"), "net") == (KNOWN[-1], KNOWN[0])
    assert choose_taps(iter(KNOWN), ["block_2"], "net") == (KNOWN[3],)


def test_unknown_taps_are_told_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="tap") as caught:
        choose_taps(KNOWN, ("stem", "block_4", "head"), "net")
    assert str(caught.value) == (
        "unknown taps ['block_4', 'head']; net has stem, block_0 to block_3, last"
    )


def test_no_tap_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one tap"):
        choose_taps(KNOWN, (), "net")


@pytest.mark.parametrize("output_stride", [8, 16, 32])
def test_output_strides_that_exist(output_stride: int) -> None:
    check_output_stride(output_stride)


@pytest.mark.parametrize("output_stride", [0, 4, 24, 64, -8])
def test_other_output_strides_are_refused(output_stride: int) -> None:
    with pytest.raises(ValueError, match=f"8, 16 or 32, not {output_stride}"):
        check_output_stride(output_stride)


def test_an_output_stride_is_what_leaves_the_block() -> None:
    assert Step(stride=2, dilation=1, input_stride=8).output_stride == 16
    assert Step(stride=1, dilation=4, input_stride=8).output_stride == 8


@pytest.mark.parametrize(
    ("output_stride", "strides", "dilations", "output_strides"),
    [
        (
            32,
            (1, 2, 1, 2, 1, 1, 2, 1, 1, 1, 1, 1, 1, 2, 1, 1, 1),
            (1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1),
            (2, 4, 4, 8, 8, 8, 16, 16, 16, 16, 16, 16, 16, 32, 32, 32, 32),
        ),
        (
            16,
            (1, 2, 1, 2, 1, 1, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1),
            (1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2),
            (2, 4, 4, 8, 8, 8, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16),
        ),
        (
            8,
            (1, 2, 1, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1),
            (1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 4, 4, 4),
            (2, 4, 4, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8),
        ),
    ],
)
def test_the_atrous_rule_on_mobilenet_v2(
    output_stride: int,
    strides: tuple[int, ...],
    dilations: tuple[int, ...],
    output_strides: tuple[int, ...],
) -> None:
    steps = list(plan_steps(V2_STRIDES, output_stride))
    assert tuple(step.stride for step in steps) == strides
    assert tuple(step.dilation for step in steps) == dilations
    assert tuple(step.output_stride for step in steps) == output_strides
    assert tuple(step.input_stride for step in steps) == (2, *output_strides[:-1])


@pytest.mark.parametrize(
    ("output_stride", "dilations", "last_stride"),
    [
        (32, (1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1), 32),
        (16, (1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2), 16),
        (8, (1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 4), 8),
    ],
)
def test_the_atrous_rule_on_mobilenet_v1(
    output_stride: int, dilations: tuple[int, ...], last_stride: int
) -> None:
    steps = list(plan_steps(V1_STRIDES, output_stride, input_stride=1))
    assert tuple(step.dilation for step in steps) == dilations
    assert steps[-1].output_stride == last_stride


def test_a_backbone_without_forward_is_none() -> None:
    class Unfinished(Backbone):
        pass

    class Finished(Backbone):
        def forward(self, images: Tensor) -> dict[str, Tensor]:
            return {"stem": images}

    with pytest.raises(TypeError, match="forward"):
        Unfinished()  # pyrefly: ignore
    Finished()
