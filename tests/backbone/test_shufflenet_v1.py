import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from mnv2_dense.backbone.backbone import Step
from mnv2_dense.backbone.blocks import Padding, SamePadConv2d
from mnv2_dense.backbone.classifier import Classifier
from mnv2_dense.backbone.shufflenet_v1 import (
    STEM_CHANNELS,
    ShuffleNetV1,
    ShuffleUnit,
    UnitPlan,
    all_taps,
    plan_units,
    shuffle_channels,
)
from mnv2_dense.builders import build_network
from mnv2_dense.ops.count import count_layers
from mnv2_dense.structures import FeatureSpec, ImageSize
from tests.backbone.checks import check_denser, check_maps
from tests.commands import tiny

LAST = "stage_4_unit_4"
NARROW = 0.5


def every_tap(output_stride: int = 32) -> tuple[str, ...]:
    return tuple(tap.name for tap in all_taps(list(plan_units(NARROW, 3, 12, output_stride))))


@pytest.mark.parametrize(
    ("width_mult", "stem_channels", "parameters", "multiply_adds", "statistics"),
    [
        (1.5, None, 3_442_168, 292_443_552, 36_720),
        (2.0, None, 5_450_776, 524_045_184, 48_960),
        (1.5, 36, 3_443_212, 299_612_448, 36_720),
        (2.0, 24, 5_448_208, 507_637_632, 48_960),
    ],
)
def test_classifier_has_the_papers_counts(
    width_mult: float,
    stem_channels: int | None,
    parameters: int,
    multiply_adds: int,
    statistics: int,
) -> None:
    """Table 4 of MobileNetV2's paper: 3.4M / 292M and 5.4M / 524M, each with its own stem."""
    with torch.device("meta"):
        backbone = ShuffleNetV1((LAST,), width_mult=width_mult, stem_channels=stem_channels)
        network = Classifier(backbone)
    rows = count_layers(network, ImageSize(224, 224))
    assert sum(p.numel() for p in network.parameters()) == parameters
    assert sum(row.parameters for row in rows) == parameters
    assert sum(row.multiply_adds for row in rows) == multiply_adds
    running = [b.numel() for name, b in network.named_buffers() if "running" in name]
    assert sum(running) == statistics


@pytest.mark.parametrize(
    ("groups", "width_mult", "channels"),
    [
        (1, 1.0, [144, 288, 576]),
        (2, 1.0, [200, 400, 800]),
        (2, 2.0, [400, 800, 1600]),
        (3, 1.0, [240, 480, 960]),
        (3, 2.0, [480, 960, 1920]),
        (4, 1.0, [272, 544, 1088]),
        (8, 1.0, [384, 768, 1536]),
    ],
)
def test_channels_of_the_stages(groups: int, width_mult: float, channels: list[int]) -> None:
    taps = ("stage_2_unit_4", "stage_3_unit_8", LAST)
    with torch.device("meta"):
        backbone = ShuffleNetV1(taps, width_mult=width_mult, groups=groups)
        maps = backbone(torch.zeros(2, 3, 64, 64))
    assert [maps[tap].shape[1] for tap in taps] == channels
    assert [spec.stride for spec in backbone.specs] == [8, 16, 32]


@pytest.mark.parametrize("padding", ["symmetric", "same"])
@pytest.mark.parametrize("output_stride", [8, 16, 32])
@pytest.mark.parametrize("size", [(64, 64), (37, 75), (1, 33)])
def test_specs_agree_with_the_maps_of_every_tap(
    output_stride: int, size: tuple[int, int], padding: Padding
) -> None:
    taps = every_tap(output_stride)
    with torch.device("meta"):
        backbone = ShuffleNetV1(
            taps, width_mult=NARROW, output_stride=output_stride, padding=padding
        )
        maps = backbone.eval()(torch.zeros(1, 3, *size))
    check_maps(backbone, maps, taps, size)
    assert len(taps) == 18
    assert backbone.specs[-1].stride == output_stride


def test_default_taps_exist_at_their_strides() -> None:
    taps = ShuffleNetV1.default_taps
    names = (*taps.detection, taps.segmentation, taps.auxiliary, taps.low_level)
    with torch.device("meta"):
        backbone = ShuffleNetV1(names, width_mult=1.5)
    assert backbone.specs[:2] == (
        FeatureSpec("stage_3_unit_8", 720, 16),
        FeatureSpec(LAST, 1440, 32),
    )
    assert [spec.stride for spec in backbone.specs[2:]] == [32, 16, 8]
    assert taps.classification == LAST


@pytest.mark.parametrize(
    ("output_stride", "dilations"),
    [
        (32, [1] * 16),
        (16, [1] * 13 + [2] * 3),
        (8, [1] * 5 + [2] * 8 + [4] * 3),
    ],
)
def test_dilation_of_each_unit(output_stride: int, dilations: list[int]) -> None:
    """A unit that loses its stride keeps the old dilation, in its layer and in its pool."""
    with torch.device("meta"):
        blocks: Any = ShuffleNetV1((LAST,), output_stride=output_stride).blocks
    assert [block.depthwise[0].dilation[0] for block in blocks] == dilations
    pools = {i: block.shortcut for i, block in enumerate(blocks) if block.shortcut is not None}
    assert {i: pool.dilation for i, pool in pools.items()} == {i: dilations[i] for i in (0, 4, 12)}
    strides = [2 if stride <= output_stride else 1 for stride in (8, 16, 32)]
    assert [pool.stride for pool in pools.values()] == strides


@pytest.mark.parametrize("output_stride", [8, 16])
@pytest.mark.parametrize(("padding", "size"), [("symmetric", (130, 96)), ("same", (129, 97))])
def test_dilated_network_computes_the_plain_one_more_densely(
    output_stride: int, padding: Padding, size: tuple[int, int]
) -> None:
    torch.manual_seed(0)
    images = torch.randn(1, 3, *size)
    plain = ShuffleNetV1((LAST,), width_mult=NARROW, padding=padding, norm_momentum=1)
    dense = ShuffleNetV1((LAST,), width_mult=NARROW, output_stride=output_stride, padding=padding)
    check_denser(plain, dense, images)


def test_channel_shuffle_by_hand() -> None:
    """Two groups of three: the first of each, the second of each, the third of each."""
    channels = torch.arange(6.0).reshape(1, 6, 1, 1)
    assert shuffle_channels(channels, 2).flatten().tolist() == [0, 3, 1, 4, 2, 5]
    assert shuffle_channels(channels, 3).flatten().tolist() == [0, 2, 4, 1, 3, 5]
    assert shuffle_channels(channels, 1).flatten().tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("groups", [2, 3, 4])
def test_channel_shuffle_is_torchs(groups: int) -> None:
    maps = torch.randn(2, 24, 3, 5)
    expected = nn.ChannelShuffle(groups)(maps)
    torch.testing.assert_close(shuffle_channels(maps, groups), expected, rtol=0, atol=0)


def unit(*, reduces: bool, groups: int) -> ShuffleUnit:
    step = Step(stride=2 if reduces else 1, dilation=1, input_stride=4)
    before = 8 if reduces else 16
    return ShuffleUnit(UnitPlan(before, 16, groups, reduces, step), groups).eval()


def test_a_unit_adds_its_input() -> None:
    block = unit(reduces=False, groups=2)
    nn.init.zeros_(block.expand[0].weight)  # pyrefly: ignore
    maps = torch.randn(1, 16, 4, 4)
    torch.testing.assert_close(block(maps), maps.clamp(min=0), rtol=0, atol=0)


def test_a_unit_with_stride_puts_the_average_of_its_input_first() -> None:
    block = unit(reduces=True, groups=2)
    maps = torch.rand(1, 8, 4, 4)
    output = block(maps)
    assert output.shape == (1, 16, 2, 2)
    torch.testing.assert_close(output[0, :8, 1, 1], maps[0, :, 1:, 1:].mean(dim=(1, 2)))


def test_the_shuffle_lets_every_output_see_every_group() -> None:
    maps = torch.rand(1, 16, 3, 3, requires_grad=True)
    block = unit(reduces=False, groups=2)
    seen = []
    for groups in (2, 1):  # 1: no shuffle between the same two grouped convolutions
        block.groups = groups
        (gradient,) = torch.autograd.grad(block(maps)[0, 0].sum(), maps)
        seen.append(gradient.abs().sum(dim=(0, 2, 3)) > 1e-9)
    assert seen[0][8:].any()
    assert not seen[1][8:].any()


def test_first_pointwise_layer_of_all_is_not_grouped() -> None:
    with torch.device("meta"):
        blocks: Any = ShuffleNetV1((LAST,), groups=3).blocks
    assert [block.reduce[0].groups for block in blocks] == [1] + [3] * 15
    assert {block.expand[0].groups for block in blocks} == {3}


def test_no_activation_behind_the_depthwise_layer() -> None:
    with torch.device("meta"):
        blocks: Any = ShuffleNetV1((LAST,)).blocks
    kinds = {
        name: {type(layer).__name__ for block in blocks for layer in getattr(block, name)}
        for name in ("reduce", "depthwise", "expand")
    }
    assert kinds == {
        "reduce": {"Conv2d", "BatchNorm2d", "ReLU"},
        "depthwise": {"Conv2d", "BatchNorm2d"},
        "expand": {"Conv2d", "BatchNorm2d"},
    }


def test_same_padding_reaches_every_strided_layer() -> None:
    with torch.device("meta"):
        backbone = ShuffleNetV1((LAST,), padding="same")
    convolutions = [layer for layer in backbone.modules() if isinstance(layer, nn.Conv2d)]
    strided = [layer for layer in convolutions if layer.stride[0] == 2]
    assert len(strided) == 4
    assert all(isinstance(layer, SamePadConv2d) for layer in strided)
    pools = [layer for layer in backbone.modules() if type(layer).__name__.endswith("Pool")]
    assert [pool.padding for pool in pools] == ["same"] * 4


def test_norm_options_reach_every_norm() -> None:
    with torch.device("meta"):
        backbone = ShuffleNetV1((LAST,), norm_epsilon=0.5, norm_momentum=0.25)
    norms = [layer for layer in backbone.modules() if isinstance(layer, nn.BatchNorm2d)]
    assert len(norms) == 1 + 16 * 3
    assert {(norm.eps, norm.momentum) for norm in norms} == {(0.5, 0.25)}


@pytest.mark.parametrize("tap", ["stem", "stage_2_unit_1", LAST])
def test_a_gradient_reaches_every_parameter(tap: str) -> None:
    torch.manual_seed(0)
    backbone = ShuffleNetV1((tap,), width_mult=NARROW, groups=1)
    maps = backbone(torch.randn(4, 3, 64, 64))[tap]
    (maps * torch.randn_like(maps)).sum().backward()
    names = [n for n, p in backbone.named_parameters() if p.grad is None or not p.grad.any()]
    assert names == []


@pytest.mark.parametrize("width_mult", STEM_CHANNELS)
@pytest.mark.parametrize("groups", [1, 3])
def test_every_width_has_one_and_three_groups(width_mult: float, groups: int) -> None:
    with torch.device("meta"):
        backbone = ShuffleNetV1((LAST,), width_mult=width_mult, groups=groups)
        maps = backbone(torch.zeros(2, 3, 64, 64))
    assert maps[LAST].shape[1] == backbone.specs[0].channels


def test_what_does_not_exist_is_refused_with_what_does() -> None:
    with pytest.raises(ValueError, match=r"no width_mult 0.35; it has 0.5, 1, 1.5, 2$"):
        ShuffleNetV1(width_mult=0.35)
    with pytest.raises(ValueError, match=r"no groups=5 at width_mult 1 .* has 1, 2, 3, 4, 8$"):
        ShuffleNetV1(groups=5)
    # 25 channels in the depthwise layers of stage 2, and 50 in those of stage 3.
    with pytest.raises(ValueError, match=r"no groups=2 at width_mult 0.5 .* it has 1, 3$"):
        ShuffleNetV1(width_mult=0.5, groups=2)
    # 240 - 25 channels beside the average of the stem's 25.
    with pytest.raises(ValueError, match=r"no groups=3 .* 25 channels in the stem; it has 1"):
        ShuffleNetV1(stem_channels=25)
    with pytest.raises(ValueError, match=r"unknown taps \['last'\]; shufflenet_v1 has stem, pool"):
        ShuffleNetV1(("last",))
    with pytest.raises(ValueError, match="8, 16 or 32, not 4"):
        ShuffleNetV1(output_stride=4)


NAMED = ("backbone.name=shufflenet_v1", f"backbone.width_mult={NARROW}", "backbone.weights=null")


def test_ssdlite_runs_on_it() -> None:
    network = build_network(tiny.config_of(Path("data"), *NAMED), 3)
    assert isinstance(network.backbone, ShuffleNetV1)
    outputs: Any = network(torch.randn(2, 3, tiny.SIZE, tiny.SIZE))
    assert outputs.class_logits.shape == (2, len(outputs.anchors), 4)
    outputs.class_logits.sum().backward()


@pytest.mark.parametrize("output_stride", [8, 16])
def test_deeplab_runs_on_it(output_stride: int) -> None:
    overrides = (*NAMED, f"backbone.output_stride={output_stride}")
    network = build_network(tiny.segmentation_config_of(Path("data"), *overrides), 4)
    assert isinstance(network.backbone, ShuffleNetV1)
    outputs: Any = network(torch.randn(2, 3, tiny.WINDOW, tiny.WINDOW))
    cells = math.ceil(tiny.WINDOW / output_stride)
    assert outputs.class_logits.shape == (2, 4, cells, cells)
    outputs.class_logits.sum().backward()
