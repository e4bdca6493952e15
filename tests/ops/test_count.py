from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision import models

from mnv2_dense.backbone.classifier import Classifier
from mnv2_dense.backbone.mobilenet_v1 import MobileNetV1
from mnv2_dense.backbone.mobilenet_v2 import MobileNetV2
from mnv2_dense.ops.count import LayerCount, count_layers, sum_layers
from mnv2_dense.segmentation.head import DeepLabV3Head
from mnv2_dense.segmentation.network import Segmenter
from mnv2_dense.structures import ImageSize


class Toy(nn.Module):
    """Grouped, strided, dilated and transposed shapes, and a layer that runs twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.grouped = nn.Conv2d(8, 8, (3, 5), groups=4, padding=(2, 2), dilation=(2, 1))
        self.norm = nn.BatchNorm2d(8)
        self.twice = nn.Conv2d(8, 8, 1, bias=False)
        self.linear = nn.Linear(8, 5)

    def forward(self, images: Tensor) -> Tensor:
        features = self.norm(self.grouped(self.first(images)))
        return self.linear(self.twice(self.twice(features)).mean(dim=(2, 3)))


class Functional(nn.Module):
    """Multiply-adds of its own, between those of a layer that runs before and after them."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 3, 1)
        self.weight = nn.Parameter(torch.ones(3, 3, 3, 3))

    def forward(self, images: Tensor) -> tuple[list[Tensor], int]:
        return [self.layer(F.conv2d(self.layer(images), self.weight))], 0


class Bottleneck(nn.Module):
    """Returns a map from its middle beside its output, and adds its shortcut in place."""

    def __init__(self) -> None:
        super().__init__()
        self.middle = nn.Conv2d(3, 4, 1)
        self.end = nn.Conv2d(4, 4, 1)
        self.shortcut = nn.Conv2d(3, 4, 1)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        middle = F.relu(self.middle(images))
        output = self.end(middle)
        output += self.shortcut(images)
        return output.relu_(), middle


class Tapped(nn.Module):
    """Names maps that a layer made, a block, itself between two layers and last, and nobody."""

    def __init__(self) -> None:
        super().__init__()
        self.block = Bottleneck()
        self.layer = nn.Conv2d(4, 4, 3)
        self.norm = nn.BatchNorm2d(4)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        output, middle = self.block(images)
        own = self.layer(output) * 2
        last = self.norm(own) * 2
        maps = {"images": images, "middle": middle, "output": output, "again": output}
        return maps | {"own": own, "last": last}


class NormAct(nn.BatchNorm2d):
    """A norm that holds its activation, as timm's does."""

    def __init__(self, channels: int, activation: nn.Module) -> None:
        super().__init__(channels)
        self.activation = activation

    def forward(self, input: Tensor) -> Tensor:
        return self.activation(super().forward(input))


class Below(nn.Module):
    """A network around one whose maps have names."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, images: Tensor) -> Tensor:
        return next(iter(self.backbone(images).values()))


def counted_by_torch(network: nn.Module, size: ImageSize, device: str = "cpu") -> int:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network.eval()(torch.zeros(1, 3, *size, device=device))
    flops, remainder = divmod(counter.get_total_flops(), 2)
    assert remainder == 0
    return flops


def timm_model(name: str, **options: Any) -> nn.Module:
    return pytest.importorskip("timm").create_model(name, **options)


@pytest.mark.parametrize("size", [ImageSize(32, 32), ImageSize(17, 40)])
@pytest.mark.parametrize(
    "build",
    [
        Toy,
        Functional,
        lambda: Classifier(MobileNetV2(("last",), width_mult=0.1), 10),
        lambda: models.mobilenet_v3_small(weights=None),
        lambda: timm_model("mobilenetv4_conv_small_035", features_only=True),
    ],
    ids=["toy", "functional", "mobilenet_v2", "mobilenet_v3", "mobilenet_v4"],
)
def test_multiply_adds_are_half_of_torchs_flops(
    build: Callable[[], nn.Module], size: ImageSize
) -> None:
    network = build()
    counted = sum_layers(count_layers(network, size))
    assert counted.multiply_adds == counted_by_torch(network, size) > 0
    assert counted.parameters == sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(
    "build",
    [
        lambda: models.resnet101(weights=None),
        lambda: models.segmentation.lraspp_mobilenet_v3_large(weights=None, weights_backbone=None),
        lambda: timm_model("mobilenetv4_hybrid_medium", features_only=True),
    ],
    ids=["resnet_101", "lraspp", "attention"],
)
def test_networks_without_values(build: Callable[[], nn.Module]) -> None:
    with torch.device("meta"):
        network = build()
    counted = sum_layers(count_layers(network, ImageSize(224, 224)))
    assert counted.multiply_adds == counted_by_torch(network, ImageSize(224, 224), "meta") > 0
    assert counted.parameters == sum(p.numel() for p in network.parameters())


def test_rows_by_hand() -> None:
    rows = count_layers(Toy(), ImageSize(8, 6))
    assert [(r.name, r.kind, r.output_shape, r.parameters, r.multiply_adds) for r in rows] == [
        ("first", "Conv2d", (1, 8, 4, 3), 3 * 8 * 9 + 8, 3 * 8 * 9 * 12),
        ("grouped", "Conv2d", (1, 8, 4, 3), 8 * 2 * 15 + 8, 8 * 2 * 15 * 12),
        ("norm", "BatchNorm2d", (1, 8, 4, 3), 16, 0),
        ("twice", "Conv2d", (1, 8, 4, 3), 64, 64 * 12),
        ("twice", "Conv2d", (1, 8, 4, 3), 0, 64 * 12),
        ("linear", "Linear", (1, 5), 45, 40),
    ]


def test_what_a_module_computes_beside_its_layers_is_its_own() -> None:
    assert count_layers(Functional(), ImageSize(5, 4)) == [
        LayerCount("layer", "Conv2d", (1, 3, 5, 4), 12, 9 * 20, 9 * 20, ""),
        LayerCount("layer", "Conv2d", (1, 3, 3, 2), 0, 9 * 6, 9 * 6, ""),
        LayerCount("", "Functional", (1, 3, 3, 2), 81, 81 * 6, 81 * 6, ""),
    ]


def test_sums() -> None:
    rows = [LayerCount("a", "Conv2d", (1,), 1, 20, 300, ""), LayerCount("b", "", (), 4, 5, 6, "")]
    assert sum_layers(rows) == (5, 25, 306)
    assert sum_layers([]) == (0, 0, 0)


def test_shared_parameters_are_counted_once() -> None:
    network = nn.Sequential(nn.Conv2d(3, 3, 1, bias=False), nn.Conv2d(3, 3, 1, bias=False))
    network[1].weight = network[0].weight
    rows = count_layers(network, ImageSize(2, 2))
    assert [(row.parameters, row.multiply_adds) for row in rows] == [(9, 36), (0, 36)]


@pytest.mark.parametrize(
    ("dilation", "stride", "positions"),
    [
        ((1, 1), 1, 7 * 9),
        ((2, 2), 1, 8 * 10),
        ((6, 6), 1, 12 * 12),
        ((2, 3), 1, 8 * 9),
        ((1, 4), 1, 7 * 12),
        ((7, 9), 1, 7 * 9),
        ((18, 18), 1, 18 * 18),
        ((2, 2), 2, 4 * 5),  # TensorFlow runs no atrous layer with a stride
    ],
)
def test_space_to_batch_pads_the_map_to_whole_multiples(
    dilation: tuple[int, int], stride: int, positions: int
) -> None:
    layer = nn.Conv2d(3, 4, 3, padding=dilation, dilation=dilation, stride=stride, bias=False)
    (row,) = count_layers(layer, ImageSize(7, 9))
    assert row.output_shape == ((1, 4, 7, 9) if stride == 1 else (1, 4, 4, 5))
    assert row.multiply_adds == 3 * 4 * 9 * (63 if stride == 1 else 20)
    assert row.space_to_batch == 3 * 4 * 9 * positions


def test_space_to_batch_counts_the_output_of_a_layer_without_padding() -> None:
    (row,) = count_layers(nn.Conv2d(3, 3, 3, dilation=2, groups=3), ImageSize(9, 12))
    assert row.output_shape == (1, 3, 5, 8)
    assert (row.multiply_adds, row.space_to_batch) == (27 * 40, 27 * 6 * 8)


def test_taps_of_mobilenet_v2() -> None:
    backbone = MobileNetV2(("stem", "block_13_expansion", "block_12", "block_16", "last"))
    taps = {row.name: row.tap for row in count_layers(Below(backbone), ImageSize(32, 32))}
    assert {name: tap for name, tap in taps.items() if tap} == {
        "backbone.stem.1": "stem",
        "backbone.blocks.12.project.1": "block_12",
        "backbone.blocks.13.expand.1": "block_13_expansion",
        "backbone.blocks.16.project.1": "block_16",
        "backbone.last.1": "last",
    }


def test_taps_of_layers_blocks_and_the_network_itself() -> None:
    rows = count_layers(Tapped(), ImageSize(8, 8))
    assert [(row.name, row.tap) for row in rows] == [
        ("block.middle", "middle"),
        ("block.end", ""),
        ("block.shortcut", "output, again"),
        ("layer", "own"),
        ("norm", "last"),
    ]


@pytest.mark.parametrize("activation", [nn.Identity(), nn.ReLU(), nn.ReLU(inplace=True)])
def test_a_norm_with_its_activation_completes_the_tap(activation: nn.Module) -> None:
    class Named(nn.Sequential):
        def forward(self, input: Tensor) -> dict[str, Tensor]:
            return {"map": super().forward(input)}

    network = Named(nn.Conv2d(3, 4, 1), NormAct(4, activation))
    assert [row.tap for row in count_layers(network, ImageSize(2, 2))] == ["", "map"]


def test_a_tap_named_twice_stands_once() -> None:
    class Renamed(Below):
        def forward(self, images: Tensor) -> dict[str, Tensor]:
            return self.backbone(images)

    rows = count_layers(Renamed(MobileNetV1(("Conv2d_1",), width_mult=0.25)), ImageSize(8, 8))
    assert [row.tap for row in rows] == ["", "", "", "", "", "Conv2d_1"]


@pytest.mark.parametrize(
    ("build", "tap", "parameters", "multiply_adds", "space_to_batch"),
    [
        (MobileNetV2, "block_16", 4_523_541, 5_363_508_928, 5_823_096_448),
        (MobileNetV1, "Conv2d_13", 11_145_301, 12_760_886_976, 14_226_627_264),
    ],
    ids=["mobilenet_v2", "mobilenet_v1"],
)
def test_table_7_with_atrous_pyramid(
    build: Callable[..., MobileNetV1 | MobileNetV2],
    tap: str,
    parameters: int,
    multiply_adds: int,
    space_to_batch: int,
) -> None:
    with torch.device("meta"):
        backbone = build((tap,), output_stride=16)
        network = Segmenter(backbone, DeepLabV3Head(backbone.specs[0], 21, aspp="dense"))
    rows = count_layers(network, ImageSize(513, 513))
    assert sum_layers(rows) == (parameters, multiply_adds, space_to_batch)


def test_counting_leaves_the_network_as_it_was() -> None:
    network = Toy()
    network.norm.eval()  # frozen norms
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    count_layers(network, ImageSize(8, 8))
    assert network.training
    assert not network.norm.training
    assert not any(layer._forward_hooks for layer in network.modules())
    assert not any(layer._forward_pre_hooks for layer in network.modules())
    assert all(torch.equal(before[name], t) for name, t in network.state_dict().items())


def test_a_compiled_network_is_counted_without_compiling() -> None:
    def refuse(*_: object) -> Callable[..., object]:
        raise AssertionError("compiled")

    network = Toy()
    network.compile(backend=refuse)
    assert sum_layers(count_layers(network, ImageSize(8, 6))) == sum_layers(
        count_layers(Toy(), ImageSize(8, 6))
    )
    assert network._compiled_call_impl is not None


def test_frozen_parameters_are_not_counted() -> None:
    network = Toy()
    network.first.requires_grad_(False)
    assert count_layers(network, ImageSize(8, 8))[0].parameters == 0
