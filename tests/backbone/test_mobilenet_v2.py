import math
from typing import Any

import pytest
import torch
from torch import nn

from mnv2_dense.backbone.blocks import SamePadConv2d
from mnv2_dense.backbone.mobilenet_v2 import (
    DEEPLAB_TAP,
    SSD_TAPS,
    MobileNetV2,
    MobileNetV2Classifier,
    all_taps,
    plan_blocks,
)
from mnv2_dense.ops.count import count_layers
from mnv2_dense.structures import FeatureSpec, ImageSize

NARROW = 0.1


def every_tap(width_mult: float = NARROW, output_stride: int = 32) -> tuple[str, ...]:
    return tuple(t.name for t in all_taps(plan_blocks(width_mult, output_stride), width_mult))


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def running_statistics(module: nn.Module) -> int:
    return sum(buffer.numel() for name, buffer in module.named_buffers() if "running" in name)


@pytest.mark.parametrize(
    ("width_mult", "expected_parameters", "multiply_adds", "statistics"),
    [
        (1.0, 3_504_872, 300_774_272, 34_112),
        (1.4, 6_108_776, 582_195_824, 47_936),
        (0.75, 2_636_424, 209_069_792, 26_640),
        (0.5, 1_968_680, 97_131_840, 18_544),
        (0.35, 1_677_128, 59_285_808, 14_080),
    ],
)
def test_classifier_has_the_papers_counts(
    width_mult: float, expected_parameters: int, multiply_adds: int, statistics: int
) -> None:
    """Exact counts behind the paper's Table 4; its 6.9M / 585M at 1.4 are known to be wrong."""
    network = MobileNetV2Classifier(width_mult=width_mult)
    rows = count_layers(network, ImageSize(224, 224))
    assert parameters(network) == expected_parameters
    assert sum(row.parameters for row in rows) == expected_parameters
    assert sum(row.multiply_adds for row in rows) == multiply_adds
    assert running_statistics(network) == statistics


@pytest.mark.parametrize(("taps", "expected"), [(SSD_TAPS, 2_223_872), ((DEEPLAB_TAP,), 1_811_712)])
def test_backbones_have_the_papers_parameters(taps: tuple[str, ...], expected: int) -> None:
    assert parameters(MobileNetV2(taps)) == expected


@pytest.mark.parametrize("size", [224, 320])
def test_backbone_multiply_adds(size: int) -> None:
    expected = {224: 300_774_272 - 1_280_000, 320: 611_212_800}
    rows = count_layers(MobileNetV2(SSD_TAPS), ImageSize(size, size))
    assert sum(row.multiply_adds for row in rows) == expected[size]


@pytest.mark.parametrize(
    ("output_stride", "dilated"),
    [
        (32, {}),
        (16, dict.fromkeys((14, 15, 16), 2)),
        (8, {**dict.fromkeys(range(7, 14), 2), **dict.fromkeys((14, 15, 16), 4)}),
    ],
)
def test_dilation_of_each_block_is_the_releases(
    output_stride: int, dilated: dict[int, int]
) -> None:
    backbone = MobileNetV2(("last",), width_mult=NARROW, output_stride=output_stride)
    blocks: Any = backbone.blocks
    found = [block.depthwise[0].dilation[0] for block in blocks]
    assert found == [dilated.get(index, 1) for index in range(17)]
    assert backbone.specs[0].stride == output_stride


def test_dilation_changes_neither_weights_nor_shortcuts() -> None:
    plain, dilated = (MobileNetV2(("last",), width_mult=NARROW, output_stride=s) for s in (32, 8))
    assert {k: v.shape for k, v in plain.state_dict().items()} == {
        k: v.shape for k, v in dilated.state_dict().items()
    }
    assert [b.shortcut for b in plain.blocks] == [b.shortcut for b in dilated.blocks]


@pytest.mark.parametrize("output_stride", [8, 16])
def test_dilated_network_computes_the_plain_one_more_densely(output_stride: int) -> None:
    """Every second (fourth) cell of the dense map is a cell of the plain one, borders included."""
    torch.manual_seed(0)
    images = torch.randn(1, 3, 130, 224)
    plain = MobileNetV2(("last",), width_mult=NARROW, norm_momentum=1)
    plain(images)  # running statistics, so that the signal survives to the end
    dense = MobileNetV2(("last",), width_mult=NARROW, output_stride=output_stride).eval()
    dense.load_state_dict(plain.eval().state_dict())
    step = 32 // output_stride
    coarse, fine = plain(images)["last"], dense(images)["last"]
    assert coarse.std() > 0.1
    torch.testing.assert_close(fine[..., ::step, ::step], coarse, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("width_mult", [NARROW, 0.35])
@pytest.mark.parametrize("output_stride", [8, 16, 32])
@pytest.mark.parametrize("size", [(64, 64), (37, 75), (1, 33)])
def test_specs_agree_with_the_maps_of_every_tap(
    width_mult: float, output_stride: int, size: tuple[int, int]
) -> None:
    taps = every_tap(width_mult, output_stride)
    backbone = MobileNetV2(taps, width_mult=width_mult, output_stride=output_stride).eval()
    with torch.no_grad():
        maps = backbone(torch.randn(1, 3, *size))
    assert list(maps) == list(taps) == [spec.name for spec in backbone.specs]
    for spec in backbone.specs:
        cells = [math.ceil(side / spec.stride) for side in size]
        assert maps[spec.name].shape == (1, spec.channels, *cells), spec


def test_ssd_taps_are_those_of_the_paper() -> None:
    assert MobileNetV2(SSD_TAPS).specs == (
        FeatureSpec("block_13_expansion", 576, 16),
        FeatureSpec("last", 1280, 32),
    )
    assert MobileNetV2((DEEPLAB_TAP,), output_stride=16).specs == (
        FeatureSpec("block_16", 320, 16),
    )


@pytest.mark.parametrize("padding", ["symmetric", "same"])
def test_level_sizes_at_300(padding: str) -> None:
    taps = ("stem", "block_1", "block_3", "block_6", "block_13")
    backbone = MobileNetV2(taps, width_mult=NARROW, padding=padding).eval()  # pyrefly: ignore
    maps = backbone(torch.zeros(1, 3, 300, 300))
    assert [maps[tap].shape[-1] for tap in taps] == [150, 75, 38, 19, 10]


def test_same_padding_reaches_every_strided_layer() -> None:
    backbone = MobileNetV2(("last",), width_mult=NARROW, padding="same")
    strided = [
        layer
        for layer in backbone.modules()
        if isinstance(layer, nn.Conv2d) and layer.stride[0] == 2
    ]
    assert len(strided) == 5
    assert all(isinstance(layer, SamePadConv2d) for layer in strided)


def test_a_map_does_not_depend_on_the_other_taps() -> None:
    alone = MobileNetV2(("block_5",), width_mult=NARROW).eval()
    both = MobileNetV2(("block_5", "last"), width_mult=NARROW).eval()
    own = alone.state_dict()
    alone.load_state_dict({k: v for k, v in both.state_dict().items() if k in own})
    images = torch.randn(1, 3, 32, 32)
    torch.testing.assert_close(alone(images)["block_5"], both(images)["block_5"], rtol=0, atol=0)


@pytest.mark.parametrize("tap", ["stem", "block_0", "block_9", "last"])
def test_every_parameter_serves_the_deepest_tap(tap: str) -> None:
    backbone = MobileNetV2((tap,), width_mult=NARROW)
    backbone(torch.randn(2, 3, 64, 64))[tap].sum().backward()
    assert [name for name, p in backbone.named_parameters() if p.grad is None] == []


def test_no_layer_behind_the_deepest_tap() -> None:
    assert len(MobileNetV2(("stem",), width_mult=NARROW).blocks) == 0
    assert len(MobileNetV2(("block_16", "block_3"), width_mult=NARROW).blocks) == 17
    assert MobileNetV2(("block_16",), width_mult=NARROW).last is None
    # The expansion of a block is a part of it: the block is held whole.
    assert len(MobileNetV2(("block_13_expansion",), width_mult=NARROW).blocks) == 14


def test_last_never_shrinks_but_grows() -> None:
    channels = [MobileNetV2(("last",), width_mult=w).specs[0].channels for w in (0.35, 1.4)]
    assert channels == [1280, 1792]


def test_norm_options_reach_every_norm() -> None:
    network = MobileNetV2Classifier(width_mult=NARROW, norm_epsilon=0.5, norm_momentum=0.25)
    norms = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]
    assert len(norms) == 52
    assert {(norm.eps, norm.momentum) for norm in norms} == {(0.5, 0.25)}


def test_taps_that_do_not_exist_are_named() -> None:
    with pytest.raises(ValueError, match=r"unknown taps \['block_17'\].*block_16, last"):
        MobileNetV2(("last", "block_17"))
    with pytest.raises(ValueError, match="block_0_expansion"):
        MobileNetV2(("block_0_expansion",))
    with pytest.raises(ValueError, match="at least one tap"):
        MobileNetV2(())
    with pytest.raises(ValueError, match="8, 16 or 32, not 4"):
        MobileNetV2(("last",), output_stride=4)


def test_random_weights_keep_the_signal_alive() -> None:
    """A freshly made network neither vanishes nor overflows before it has seen data."""
    torch.manual_seed(0)
    network = MobileNetV2(("last",), width_mult=0.35)
    spread = network(torch.randn(4, 3, 64, 64))["last"].std()
    assert 0.1 < spread < 3
