import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mnv2_dense.backbone.blocks import SamePadConv2d, Shortcut
from mnv2_dense.backbone.classifier import Classifier
from mnv2_dense.backbone.mobilenet_v2 import (
    DEEPLAB_TAP,
    PUBLISHED_WIDTHS,
    SSD_TAPS,
    MobileNetV2,
    all_taps,
    plan_blocks,
)
from mnv2_dense.ops.count import count_layers
from mnv2_dense.structures import FeatureSpec, ImageSize
from tests.backbone.checks import check_denser, check_maps

NARROW = 0.1


def every_tap(width_mult: float = NARROW, output_stride: int = 32) -> tuple[str, ...]:
    return tuple(t.name for t in all_taps(plan_blocks(width_mult, output_stride), 1280))


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def running_statistics(module: nn.Module) -> int:
    return sum(buffer.numel() for name, buffer in module.named_buffers() if "running" in name)


def classifier_of(width_mult: float, num_classes: int = 1000) -> Classifier:
    """The classifier's shapes, without values."""
    with torch.device("meta"):
        return Classifier(MobileNetV2(("last",), width_mult=width_mult), num_classes)


def multiply_adds(module: nn.Module, side: int) -> int:
    return sum(row.multiply_adds for row in count_layers(module, ImageSize(side, side)))


@pytest.mark.parametrize(
    ("width_mult", "expected_parameters", "expected_multiply_adds", "statistics"),
    [
        (1.0, 3_504_872, 300_774_272, 34_112),
        (1.4, 6_108_776, 582_195_824, 47_936),
        (0.75, 2_636_424, 209_069_792, 26_640),
        (0.5, 1_968_680, 97_131_840, 18_544),
        (0.35, 1_677_128, 59_285_808, 14_080),
    ],
)
def test_classifier_has_the_papers_counts(
    width_mult: float, expected_parameters: int, expected_multiply_adds: int, statistics: int
) -> None:
    """Exact counts behind the paper's Table 4; its 6.9M / 585M at 1.4 are known to be wrong."""
    network = classifier_of(width_mult)
    rows = count_layers(network, ImageSize(224, 224))
    assert parameters(network) == expected_parameters
    assert sum(row.parameters for row in rows) == expected_parameters
    assert sum(row.multiply_adds for row in rows) == expected_multiply_adds
    assert running_statistics(network) == statistics


def formula(width_mult: float, side: int, classes: int) -> tuple[int, int, int]:
    """Weights, values of norms, and multiply-adds of a classifier, from the paper's Table 2."""

    def wide(channels: float) -> int:
        nearest = max(8, 8 * math.floor(channels / 8 + 0.5))
        return nearest if nearest >= 0.9 * channels else nearest + 8

    weights = norms = work = 0

    def layer(holds: int, channels: int) -> None:
        nonlocal weights, norms, work
        weights, norms, work = weights + holds, norms + 2 * channels, work + holds * side**2

    channels, side = wide(32 * width_mult), side // 2
    layer(27 * channels, channels)
    for t, c, n, s in (
        *((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2)),
        *((6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)),
    ):
        for repeat in range(n):
            hidden, out = t * channels, wide(c * width_mult)
            if t > 1:
                layer(channels * hidden, hidden)
            side //= s if repeat == 0 else 1
            layer(9 * hidden, hidden)
            layer(hidden * out, out)
            channels = out
    last = wide(1280 * max(1, width_mult))
    layer(channels * last, last)
    return weights + last * classes, norms, work + last * classes


ALL_SIDES = (96, 128, 160, 192, 224)


@pytest.mark.parametrize(
    ("width_mult", "sides"),
    [(width, ALL_SIDES) for width in (0.35, 0.5, 0.75, 1.0)] + [(1.3, (224,)), (1.4, (224,))],
)
def test_every_published_width_and_resolution_by_formula(
    width_mult: float, sides: Sequence[int]
) -> None:
    """The release has the widths above 1 at 224 alone."""
    network = classifier_of(width_mult)
    for side in sides:
        weights, norms, work = formula(width_mult, side, 1000)
        assert parameters(network) == weights + norms + 1000
        assert running_statistics(network) == norms
        assert multiply_adds(network, side) == work, side


@pytest.mark.parametrize(
    ("width_mult", "weights"), [(0.75, 2_610_064), (0.5, 1_950_416), (0.35, 1_663_328)]
)
def test_weights_of_the_releases_1001_classes(width_mult: float, weights: int) -> None:
    """The release's README prints 2.61, 1.95 and 1.66M: no norms, no bias."""
    network = classifier_of(width_mult, 1001)
    assert sum(p.numel() for p in network.parameters() if p.dim() > 1) == weights


def test_the_smallest_published_classifier() -> None:
    """The paper's text says 7 million multiply-adds; its release's README 11 (1001 classes)."""
    assert multiply_adds(classifier_of(0.35, 1001), 96) == 11_935_408


def test_least_channels_of_the_object_detection_api() -> None:
    """The widths in its half-width SSDLite (minimum depth 16), stem first."""
    narrow, wide = plan_blocks(0.5, 32), plan_blocks(0.5, 32, min_channels=16)
    widths = [16, *[16] * 6, *[32] * 4, *[48] * 3, *[80] * 3, 160]
    assert [wide[0].in_channels, *(plan.out_channels for plan in wide)] == widths
    assert [plan.out_channels for plan in narrow] == [8, *widths[2:]]
    with torch.device("meta"):
        blocks: Any = MobileNetV2(SSD_TAPS, width_mult=0.5, min_channels=16).blocks
    assert blocks[0].project[0].weight.shape == (16, 16, 1, 1)
    assert blocks[1].expand[0].weight.shape == (96, 16, 1, 1)


RELEASED_HALVES: dict[str, dict[str, Any]] = {
    "detector": {"min_channels": 16, "last_channels": 640, "first_shortcut": False},
    "segmenter": {"channel_divisor": 1},
}
"""How the half-width networks of the Object Detection API and of DeepLab are built."""
HALF_CHANNELS = {
    "detector": [16, 16, 16, 16, 16, 16, 16, *[32] * 4, *[48] * 3, *[80] * 3, 160],
    "segmenter": [16, 8, 12, 12, 16, 16, 16, *[32] * 4, *[48] * 3, *[80] * 3, 160],
}
"""Of the stem and every bottleneck, as in the released files."""


@pytest.mark.parametrize(("kind", "last"), [("detector", 640), ("segmenter", 1280)])
def test_channels_of_the_released_halves(kind: str, last: int) -> None:
    with torch.device("meta"):
        backbone: Any = MobileNetV2(SSD_TAPS, width_mult=0.5, **RELEASED_HALVES[kind])
    blocks = [block.project[0].out_channels for block in backbone.blocks]
    assert [backbone.stem[0].out_channels, *blocks] == HALF_CHANNELS[kind]
    inner = [block.depthwise[0].in_channels for block in backbone.blocks]
    assert inner[1:] == [6 * channels for channels in HALF_CHANNELS[kind][1:-1]]
    assert backbone.last[0].out_channels == last
    assert [spec.channels for spec in backbone.specs] == [6 * 48, last]


def test_the_last_layer_is_as_wide_as_it_is_told() -> None:
    for width_mult, wanted, channels in ((0.5, None, 1280), (1.4, None, 1792), (1.4, 33, 33)):
        with torch.device("meta"):
            backbone = MobileNetV2(("last",), width_mult=width_mult, last_channels=wanted)
        assert backbone.specs[0].channels == channels
        assert backbone.last is not None
        assert backbone.last[0].out_channels == channels


@torch.no_grad()
def test_the_first_shortcut_changes_what_is_computed_and_no_shape() -> None:
    """Only where the first bottleneck keeps its channels; elsewhere the key means nothing."""
    images = torch.randn(1, 3, 64, 64)
    for width_mult, changes in ((NARROW, True), (0.5, False)):
        torch.manual_seed(0)
        plain, without = (
            MobileNetV2(("block_0",), width_mult=width_mult, first_shortcut=first).eval()
            for first in (True, False)
        )
        without.load_state_dict(plain.state_dict())
        inner: Any = without.blocks[0]
        expected = inner.project(inner.depthwise(without.stem(images)))
        assert torch.equal(without(images)["block_0"], expected)
        stem = plain.stem(images) if changes else 0
        torch.testing.assert_close(plain(images)["block_0"], expected + stem)
        assert bool(plain.stem(images).any())


@torch.no_grad()
def test_without_the_first_shortcut_the_others_stay() -> None:
    torch.manual_seed(0)
    network = MobileNetV2(("block_2",), width_mult=NARROW, first_shortcut=False).eval()
    assert [block.shortcut for block in network.blocks] == ["none", "none", "bottleneck"]


def test_published_widths_have_a_least_of_eight_channels() -> None:
    for width_mult in PUBLISHED_WIDTHS:
        assert plan_blocks(width_mult, 32) == plan_blocks(width_mult, 32, min_channels=8)


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
    torch.manual_seed(0)
    images = torch.randn(1, 3, 130, 224)
    plain = MobileNetV2(("last",), width_mult=NARROW, norm_momentum=1)
    dense = MobileNetV2(("last",), width_mult=NARROW, output_stride=output_stride)
    check_denser(plain, dense, images)


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
    check_maps(backbone, maps, taps, size)


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
    network = MobileNetV2(("last",), width_mult=NARROW, norm_epsilon=0.5, norm_momentum=0.25)
    norms = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]
    assert len(norms) == 52
    assert {(norm.eps, norm.momentum) for norm in norms} == {(0.5, 0.25)}


def test_taps_that_do_not_exist_are_named() -> None:
    with pytest.raises(ValueError, match="block_17") as caught:
        MobileNetV2(("last", "block_17"))
    assert str(caught.value) == (
        "unknown taps ['block_17']; mobilenet_v2 has stem, block_0 to block_16, "
        "block_1_expansion to block_16_expansion, last"
    )
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


# The variants of section 6.4


@pytest.mark.parametrize("width_mult", [NARROW, 1.0])
@pytest.mark.parametrize("shortcut", ["none", "expansion"])
@pytest.mark.parametrize("linear", [True, False])
def test_variants_hold_the_same_weights(
    width_mult: float, shortcut: Shortcut, linear: bool
) -> None:
    with torch.device("meta"):
        paper = MobileNetV2(width_mult=width_mult)
        other = MobileNetV2(width_mult=width_mult, shortcut=shortcut, linear_bottleneck=linear)
    assert {name: v.shape for name, v in paper.state_dict().items()} == {
        name: v.shape for name, v in other.state_dict().items()
    }


def test_every_projection_is_linear_or_none_is() -> None:
    for linear in (True, False):
        blocks: Any = MobileNetV2(width_mult=NARROW, linear_bottleneck=linear).blocks
        found = {any(isinstance(m, nn.ReLU6) for m in block.project) for block in blocks}
        assert found == {not linear}


# Blocks behind which Table 2 repeats a row, so that shapes stay: 10 shortcuts.
SHORTCUT_BLOCKS = [2, 4, 5, 7, 8, 9, 11, 12, 14, 15]


@pytest.mark.parametrize(
    ("shortcut", "blocks"),
    [("bottleneck", SHORTCUT_BLOCKS), ("expansion", SHORTCUT_BLOCKS), ("none", [])],
)
def test_shortcuts_of_the_full_width(shortcut: Shortcut, blocks: list[int]) -> None:
    with torch.device("meta"):
        backbone = MobileNetV2(shortcut=shortcut)
    names = [str(block.shortcut) for block in backbone.blocks]
    assert [index for index, name in enumerate(names) if name == shortcut != "none"] == blocks
    assert set(names) <= {shortcut, "none"}


def run_by_hand(backbone: Any, images: Tensor, shortcut: Shortcut) -> dict[str, Tensor]:
    """Every map, with the shortcuts of `SHORTCUT_BLOCKS` added outside the blocks."""
    features, carried, maps = backbone.stem(images), None, dict[str, Tensor]()
    for index, block in enumerate(backbone.blocks):
        expanded = block.expand(features)
        if carried is not None:
            expanded = expanded + carried
        output = block.project(block.depthwise(expanded))
        adds = index in SHORTCUT_BLOCKS
        carried = expanded if adds and shortcut == "expansion" else None
        features = features + output if adds and shortcut == "bottleneck" else output
        maps |= {f"block_{index}_expansion": expanded, f"block_{index}": features}
    return maps


@pytest.mark.parametrize("output_stride", [32, 8])
@pytest.mark.parametrize("linear", [True, False])
@pytest.mark.parametrize("shortcut", ["bottleneck", "expansion", "none"])
@torch.no_grad()
def test_shortcuts_by_hand(shortcut: Shortcut, linear: bool, output_stride: int) -> None:
    torch.manual_seed(0)
    taps = tuple(tap for tap in every_tap(0.35) if tap not in {"stem", "last"})
    backbone = MobileNetV2(
        taps,
        width_mult=0.35,
        output_stride=output_stride,
        shortcut=shortcut,
        linear_bottleneck=linear,
        norm_momentum=1,
    )
    images = torch.randn(2, 3, 64, 64)
    backbone(images)  # running statistics, so that the signal survives to the end
    found = backbone.eval()(images)
    expected = run_by_hand(backbone, images, shortcut)
    assert found["block_16"].std() > 0.1
    for tap in taps:
        torch.testing.assert_close(found[tap], expected[tap])


def test_the_variants_differ_in_what_they_compute() -> None:
    torch.manual_seed(0)
    images = torch.randn(2, 3, 64, 64)
    weights = MobileNetV2(width_mult=0.35).state_dict()
    variants: Sequence[dict[str, Any]] = (
        *({"shortcut": shortcut} for shortcut in ("bottleneck", "expansion", "none")),
        {"linear_bottleneck": False},
    )
    maps = []
    for variant in variants:
        backbone = MobileNetV2(width_mult=0.35, **variant)
        backbone.load_state_dict(weights)
        maps.append(backbone(images)["last"])
    for index, found in enumerate(maps):
        for other in maps[:index]:
            assert (found - other).abs().mean() > 0.1


@pytest.mark.parametrize(("expansion", "channels"), [(1, 96), (2, 192), (3, 288), (6, 576)])
def test_expansion_factor_by_hand(expansion: int, channels: int) -> None:
    """Every layer inside a bottleneck but the first's is as wide as its input, times the factor."""
    inside, outputs = [16, 24, 24, 32, 32, 32], [24, 24, 32, 32, 32, 64]
    inside += [*[64] * 4, *[96] * 3, *[160] * 3]
    outputs += [*[64] * 3, *[96] * 3, *[160] * 3, 320]
    expected = 27 * 32 + 2 * 32 + (9 * 32 + 2 * 32 + 32 * 16 + 2 * 16) + 320 * 1280 + 2 * 1280
    for before, after in zip(inside, outputs, strict=True):
        hidden = before * expansion
        expected += 9 * hidden + 2 * hidden + hidden * after + 2 * after
        expected += before * hidden + 2 * hidden if expansion > 1 else 0
    with torch.device("meta"):
        backbone = MobileNetV2(expansion=expansion)
    assert parameters(backbone) == expected
    # The detector's taps exist at any factor: at 1 the expansion is the block's input.
    assert backbone.specs == (
        FeatureSpec("block_13_expansion", channels, 16),
        FeatureSpec("last", 1280, 32),
    )


@pytest.mark.parametrize("expansion", [1, 2])
@pytest.mark.parametrize("shortcut", ["bottleneck", "expansion", "none"])
@pytest.mark.parametrize("width_mult", [NARROW, 0.25, 0.35])
def test_variants_run_at_any_width(width_mult: float, shortcut: Shortcut, expansion: int) -> None:
    """Below 0.28 even the first block keeps its channels, but not its expansion's depth."""
    taps = tuple(t.name for t in all_taps(plan_blocks(width_mult, 32, expansion), 1280))
    backbone = MobileNetV2(taps, width_mult=width_mult, shortcut=shortcut, expansion=expansion)
    maps = backbone(torch.randn(2, 3, 64, 64))
    assert [tuple(maps[spec.name].shape[1:2]) for spec in backbone.specs] == [
        (spec.channels,) for spec in backbone.specs
    ]


def test_at_factor_one_both_shortcuts_are_one() -> None:
    """Where nothing is expanded, the expansions are the bottlenecks."""
    torch.manual_seed(0)
    images = torch.randn(2, 3, 64, 64)
    paper = MobileNetV2(("last",), width_mult=0.35, expansion=1)
    other = MobileNetV2(("last",), width_mult=0.35, expansion=1, shortcut="expansion")
    other.load_state_dict(paper.state_dict())
    torch.testing.assert_close(paper(images)["last"], other(images)["last"])
