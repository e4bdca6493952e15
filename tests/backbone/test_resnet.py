from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision.models.resnet import Bottleneck

from mnv2_dense.backbone.blocks import Padding, SamePadConv2d
from mnv2_dense.backbone.resnet import BottleneckUnit, ResNet101, UnitPlan, all_taps, plan_units
from mnv2_dense.builders import build_network
from mnv2_dense.config.loader import load_config
from mnv2_dense.config.sections import WIDTHS
from mnv2_dense.ops.count import count_layers
from mnv2_dense.structures import FeatureSpec, ImageSize
from tests.backbone.checks import check_maps
from tests.commands import tiny

LAST = "stage_4_unit_3"
PLAIN = (1, 2, 4)


def every_tap(output_stride: int = 32) -> tuple[str, ...]:
    return tuple(tap.name for tap in all_taps(list(plan_units(output_stride, PLAIN))))


@pytest.fixture(scope="module")
def network() -> ResNet101:
    """One network for all tests that run it; plain normal weights are drawn faster than its own."""
    torch.manual_seed(0)
    with torch.device("meta"):
        backbone = ResNet101((LAST,), norm_momentum=1)
    backbone.double().to_empty(device="cpu")
    for layer in backbone.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.normal_(layer.weight, std=0.03)
        elif isinstance(layer, nn.BatchNorm2d):
            layer.reset_parameters()
    return backbone


@pytest.mark.parametrize(
    ("output_stride", "multiply_adds"), [(16, 76_052_470_720), (8, 252_252_117_952)]
)
def test_deeplab_has_the_papers_counts(output_stride: int, multiply_adds: int) -> None:
    """Table 7 of MobileNetV2's paper: 58.16M parameters."""
    overrides = ["backbone.name=resnet_101", f"backbone.output_stride={output_stride}"]
    config = load_config(tiny.ASPP_CONFIG, overrides)
    with torch.device("meta"):
        deeplab = build_network(config, 21)
    rows = count_layers(deeplab, ImageSize(513, 513))
    assert sum(p.numel() for p in deeplab.parameters()) == 58_164_437
    assert sum(row.parameters for row in rows) == 58_164_437
    assert sum(row.multiply_adds for row in rows) == multiply_adds
    running = [b.numel() for name, b in deeplab.named_buffers() if "running" in name]
    assert sum(running) == 108_800


@pytest.mark.parametrize("output_stride", [8, 16, 32])
@pytest.mark.parametrize(
    ("size", "padding"), [((64, 64), "same"), ((37, 75), "symmetric"), ((1, 33), "same")]
)
def test_specs_agree_with_the_maps_of_every_tap(
    output_stride: int, size: tuple[int, int], padding: Padding
) -> None:
    taps = every_tap(output_stride)
    with torch.device("meta"):
        backbone = ResNet101(taps, output_stride=output_stride, padding=padding)
        maps = backbone.eval()(torch.zeros(1, 3, *size))
    check_maps(backbone, maps, taps, size)
    assert len(taps) == 35
    assert backbone.specs[-1].stride == output_stride


@pytest.mark.parametrize(
    ("output_stride", "strides"), [(32, (16, 32)), (16, (16, 16)), (8, (8, 8))]
)
def test_default_taps_exist_at_their_strides(output_stride: int, strides: tuple[int, int]) -> None:
    taps = ResNet101.default_taps
    with torch.device("meta"):
        specs = ResNet101((*taps.detection, taps.low_level), output_stride=output_stride).specs
    assert specs == (
        FeatureSpec("stage_3_unit_22", 1024, strides[0]),
        FeatureSpec(LAST, 2048, strides[1]),
        FeatureSpec("stage_2_unit_3", 512, 8),
    )
    assert taps.segmentation == taps.classification == LAST
    assert taps.auxiliary == "stage_3_unit_22"


def test_the_stride_is_in_the_last_unit_of_a_stage() -> None:
    strides = {spec.name: spec.stride for spec in all_taps(list(plan_units(32, PLAIN)))}
    changes = [
        name
        for name, before in zip(list(strides)[1:], strides, strict=False)
        if strides[name] != strides[before]
    ]
    assert changes == ["pool", "stage_1_unit_3", "stage_2_unit_4", "stage_3_unit_23"]


@pytest.mark.parametrize(
    ("output_stride", "multi_grid", "dilations"),
    [
        (32, (1, 2, 4), [1] * 30 + [1, 2, 4]),
        (16, (1, 2, 4), [1] * 30 + [2, 4, 8]),
        (8, (1, 2, 4), [1] * 7 + [2] * 23 + [4, 8, 16]),
        (8, (1, 1, 1), [1] * 7 + [2] * 23 + [4, 4, 4]),
    ],
)
def test_dilation_of_each_unit_is_the_releases(
    output_stride: int, multi_grid: tuple[int, ...], dilations: list[int]
) -> None:
    """The last unit of a stage keeps the old dilation where it loses its stride."""
    with torch.device("meta"):
        backbone = ResNet101((LAST,), output_stride=output_stride, multi_grid=multi_grid)
    blocks: Any = backbone.blocks
    assert [block.spatial[0].dilation[0] for block in blocks] == dilations
    assert [block.spatial[0].padding[0] for block in blocks] == dilations
    pointwise = [layer[0] for b in blocks for layer in (b.reduce, b.expand)]
    assert {layer.kernel_size for layer in pointwise} == {(1, 1)}


def test_dilated_network_computes_the_plain_one_more_densely(network: ResNet101) -> None:
    """Every fourth cell of the dense map is a cell of the plain one, borders included."""
    images = torch.randn(1, 3, 66, 96, dtype=torch.float64)
    with torch.no_grad():
        network.train()(images)  # running statistics, so that the signal survives to the end
        with torch.device("meta"):
            dense = ResNet101((LAST,), output_stride=8)
        dense.load_state_dict(network.eval().state_dict(), assign=True)
        coarse, fine = network(images)[LAST], dense.eval()(images)[LAST]
    assert coarse.std() > 0.1
    torch.testing.assert_close(fine[..., ::4, ::4], coarse, rtol=1e-6, atol=1e-6)


def test_a_gradient_reaches_every_parameter(network: ResNet101) -> None:
    network.train().zero_grad()
    maps = network(torch.randn(2, 3, 33, 33, dtype=torch.float64))[LAST]
    (maps * torch.randn_like(maps)).sum().backward()
    names = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert names == []


def unit(in_channels: int, stride: int, dilation: int = 1) -> BottleneckUnit:
    block = BottleneckUnit(UnitPlan(in_channels, 4, stride, dilation, 4))
    for layer in block.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.weight)
            nn.init.normal_(layer.bias)
    return block.eval()


def oracle(block: BottleneckUnit, in_channels: int, stride: int, dilation: int) -> Bottleneck:
    """Torchvision's unit with the same weights; its stride, too, is in the 3x3 convolution."""
    thin: nn.Module = nn.MaxPool2d(1, stride)
    projection: Any = block.shortcut
    other = Bottleneck(
        in_channels,
        4,
        stride=stride,
        dilation=dilation,
        downsample=thin if in_channels == 16 else nn.Sequential(projection[0], projection[1], thin),
    )
    layers: dict[str, Any] = {"1": block.reduce, "2": block.spatial, "3": block.expand}
    for number, layer in layers.items():
        getattr(other, f"conv{number}").load_state_dict(layer[0].state_dict())
        getattr(other, f"bn{number}").load_state_dict(layer[1].state_dict())
    return other.eval()


@pytest.mark.parametrize("in_channels", [8, 16])
@pytest.mark.parametrize(("stride", "dilation"), [(1, 1), (2, 1), (1, 3)])
@pytest.mark.parametrize("size", [(7, 9), (8, 6)])
def test_a_unit_is_torchvisions(
    in_channels: int, stride: int, dilation: int, size: tuple[int, int]
) -> None:
    torch.manual_seed(0)
    block = unit(in_channels, stride, dilation)
    maps = torch.randn(2, in_channels, *size)
    torch.testing.assert_close(block(maps), oracle(block, in_channels, stride, dilation)(maps))


def test_the_shortcut_is_projected_where_channels_change() -> None:
    with torch.device("meta"):
        blocks: Any = ResNet101((LAST,)).blocks
    projected = [i for i, block in enumerate(blocks) if not isinstance(block.shortcut, nn.Identity)]
    assert projected == [0, 3, 7, 30]
    assert [len(blocks[i].shortcut) for i in projected] == [2] * 4  # no activation
    assert [blocks[i].stride for i in projected] == [1] * 4


def test_root_is_three_small_convolutions() -> None:
    with torch.device("meta"):
        root: Any = ResNet101(("stem",)).stem
    shapes = [(layer[0].out_channels, layer[0].kernel_size, layer[0].stride) for layer in root]
    assert shapes == [(64, (3, 3), (2, 2)), (64, (3, 3), (1, 1)), (128, (3, 3), (1, 1))]
    assert [type(layer[2]) for layer in root] == [nn.ReLU] * 3


def test_same_padding_is_the_pools_alone() -> None:
    with torch.device("meta"):
        backbone = ResNet101((LAST,), padding="same")
    assert backbone.pool.padding == "same"
    assert not any(isinstance(layer, SamePadConv2d) for layer in backbone.modules())


def test_norm_options_reach_every_norm() -> None:
    with torch.device("meta"):
        backbone = ResNet101((LAST,), norm_epsilon=0.5, norm_momentum=0.25)
    norms = [layer for layer in backbone.modules() if isinstance(layer, nn.BatchNorm2d)]
    assert len(norms) == 3 + 33 * 3 + 4
    assert {(norm.eps, norm.momentum) for norm in norms} == {(0.5, 0.25)}


def test_what_does_not_exist_is_refused_with_what_does() -> None:
    with pytest.raises(ValueError, match=r"unknown taps \['conv1'\]; resnet_101 has stem, pool"):
        ResNet101(("conv1",))
    with pytest.raises(ValueError, match="8, 16 or 32, not 64"):
        ResNet101(output_stride=64)
    with pytest.raises(ValueError, match="multi_grid needs 3 factors, not 2"):
        ResNet101(multi_grid=(1, 2))
    assert WIDTHS["resnet_101"] == (1.0,)


NAMED = ("backbone.name=resnet_101", "backbone.width_mult=1", "backbone.weights=null")


def run_on_meta(network: nn.Module, side: int) -> Any:
    """The real shapes without the time of 42 million weights."""
    images: Tensor = torch.zeros(2, 3, side, side, device="meta")
    return network(images)


def test_ssdlite_runs_on_it() -> None:
    with torch.device("meta"):
        network = build_network(tiny.config_of(Path("data"), *NAMED), 3)
    assert isinstance(network.backbone, ResNet101)
    outputs = run_on_meta(network, tiny.SIZE)
    assert outputs.class_logits.shape == (2, len(outputs.anchors), 4)


def test_deeplab_runs_on_it() -> None:
    with torch.device("meta"):
        network = build_network(tiny.segmentation_config_of(Path("data"), *NAMED), 4)
    assert isinstance(network.backbone, ResNet101)
    assert run_on_meta(network, tiny.WINDOW).class_logits.shape == (2, 4, 5, 5)
