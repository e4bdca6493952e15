import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mnv2_dense.backbone.blocks import (
    ConvNormAct,
    DepthwiseSeparable,
    InvertedResidual,
    Padding,
    SamePadConv2d,
    Shortcut,
    initialize,
    make_divisible,
)


@pytest.mark.parametrize(
    ("channels", "expected"),
    [
        (32 * 0.35, 16),  # 11.2 rounds to 8, which is more than 10 % less
        (24 * 0.35, 8),
        (16 * 0.35, 8),
        (96 * 0.35, 32),
        (320 * 0.35, 112),
        (32 * 0.75, 24),
        (32 * 1.4, 48),  # 44.8
        (24 * 1.4, 32),  # 33.6
        (1280 * 1.4, 1792),
        (3, 8),
        (12, 16),
        (20, 24),
    ],
)
def test_channels_are_multiples_of_eight_and_lose_a_tenth_at_most(
    channels: float, expected: int
) -> None:
    assert make_divisible(channels) == expected


def same_convolution_by_hand(image: Tensor, weight: Tensor, stride: int, dilation: int) -> Tensor:
    """TensorFlow's rule for one channel, cell by cell: pad_total, half of it (floored) before."""
    kernel = weight.shape[-1]
    reach = (kernel - 1) * dilation + 1
    cells = [math.ceil(side / stride) for side in image.shape]
    before = [
        max((count - 1) * stride + reach - side, 0) // 2
        for count, side in zip(cells, image.shape, strict=True)
    ]
    output = torch.zeros(*cells)
    for row in range(cells[0]):
        for column in range(cells[1]):
            for i in range(kernel):
                for j in range(kernel):
                    y = row * stride - before[0] + i * dilation
                    x = column * stride - before[1] + j * dilation
                    if 0 <= y < image.shape[0] and 0 <= x < image.shape[1]:
                        output[row, column] += weight[i, j] * image[y, x]
    return output


@pytest.mark.parametrize("height", [1, 2, 5, 8])
@pytest.mark.parametrize("width", [1, 7, 8])
@pytest.mark.parametrize(("stride", "dilation"), [(1, 1), (1, 2), (2, 1), (2, 2)])
def test_same_padding_is_tensorflows(height: int, width: int, stride: int, dilation: int) -> None:
    layer = SamePadConv2d(1, 1, 3, stride=stride, dilation=dilation, bias=False)
    image = torch.randn(height, width)
    expected = same_convolution_by_hand(image, layer.weight[0, 0].detach(), stride, dilation)
    torch.testing.assert_close(layer(image[None, None])[0, 0], expected)


@pytest.mark.parametrize("dilation", [1, 2, 4])
def test_at_stride_one_both_paddings_are_one(dilation: int) -> None:
    layers = [ConvNormAct(2, 3, 3, dilation=dilation, padding=p) for p in paddings()]
    layers[1].load_state_dict(layers[0].state_dict())
    image = torch.randn(1, 2, 9, 6)
    torch.testing.assert_close(layers[0].eval()(image), layers[1].eval()(image))


def paddings() -> tuple[Padding, Padding]:
    return ("symmetric", "same")


@pytest.mark.parametrize(
    ("padding", "size", "first_pixel"),
    [("symmetric", 8, -1), ("same", 8, 0), ("symmetric", 7, -1), ("same", 7, -1)],
)
def test_pixel_under_the_first_kernel_cell(padding: Padding, size: int, first_pixel: int) -> None:
    """A kernel that only looks at its top left corner reads pixel 2 * cell + first_pixel."""
    layer = ConvNormAct(1, 1, 3, stride=2, padding=padding, activation=None).eval()
    conv: Any = layer[0]
    with torch.no_grad():
        conv.weight.copy_(F.pad(torch.ones(1, 1, 1, 1), (0, 2, 0, 2)))
    image = torch.arange(size * size, dtype=torch.float32).view(1, 1, size, size) + 1
    seen = layer(image)[0, 0, 1, 2] * math.sqrt(1 + 1e-5)
    assert seen.item() == pytest.approx(image[0, 0, 2 + first_pixel, 4 + first_pixel].item())


@pytest.mark.parametrize("padding", paddings())
def test_every_level_of_the_release_halves_by_rounding_up(padding: Padding) -> None:
    layer = ConvNormAct(1, 1, 3, stride=2, padding=padding).eval()
    sides = [300]
    while sides[-1] > 10:
        sides.append(layer(torch.zeros(1, 1, sides[-1], 4)).shape[2])
    assert sides == [300, 150, 75, 38, 19, 10]


def test_conv_norm_act_has_no_bias_and_the_norm_it_was_told() -> None:
    layer = ConvNormAct(4, 6, 3, norm_epsilon=0.25, norm_momentum=0.5)
    assert layer[0].bias is None
    assert (layer[1].eps, layer[1].momentum) == (0.25, 0.5)
    assert isinstance(layer[2], nn.ReLU6)
    assert sum(p.numel() for p in layer.parameters()) == 4 * 6 * 9 + 12


def residual_block(
    *, outside: int = 8, stride: int = 1, shortcut: Shortcut = "bottleneck"
) -> nn.Module:
    block = InvertedResidual(8, outside, expansion=6, stride=stride, shortcut=shortcut).eval()
    norm: Any = block.project[1]
    nn.init.zeros_(norm.weight)  # the residual branch gives nothing
    return block


def test_shortcut_adds_the_input_without_an_activation() -> None:
    features = torch.randn(2, 8, 5, 5) * 10
    output, expanded = residual_block()(features)
    torch.testing.assert_close(output, features, rtol=0, atol=0)
    assert expanded.shape == (2, 48, 5, 5)
    assert expanded.min() == 0
    assert expanded.max() <= 6


def test_no_shortcut_where_shapes_or_the_table_forbid() -> None:
    features = torch.randn(1, 8, 5, 5)
    for block in (
        residual_block(outside=16),
        residual_block(stride=2, shortcut="none"),
        residual_block(shortcut="none"),  # a stride that dilation replaced
        residual_block(shortcut="expansion"),  # which the next block adds, not this one
    ):
        assert not block(features)[0].any()


def test_projection_is_linear() -> None:
    block = InvertedResidual(8, 16, expansion=6, stride=1).eval()
    assert block(torch.randn(1, 8, 9, 9))[0].min() < 0


def test_expansion_one_has_no_expansion_layer() -> None:
    block = InvertedResidual(8, 4, expansion=1, stride=1).eval()
    assert sum(p.numel() for p in block.parameters()) == 8 * 9 + 16 + 8 * 4 + 8
    features = torch.randn(1, 8, 3, 3)
    torch.testing.assert_close(block(features)[1], features)


def test_dilation_reaches_only_the_depthwise_layer() -> None:
    block = InvertedResidual(4, 4, expansion=2, stride=1, dilation=4)
    dilations = [m.dilation for m in block.modules() if isinstance(m, nn.Conv2d)]
    assert dilations == [(1, 1), (4, 4), (1, 1)]


def lively(block: nn.Module) -> nn.Module:
    """The block with norms that matter, in evaluation mode."""
    for layer in block.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.weight, 0.5, 2)
            nn.init.normal_(layer.bias, 0, 0.5)
            layer.running_mean = torch.randn(layer.num_features) * 0.1
            layer.running_var = torch.rand(layer.num_features) * 0.05 + 0.01
    return block.eval()


def layer_by_hand(layer: Any, features: Tensor, *, relu6: bool = True) -> Tensor:
    """Convolution at stride 1, norm and activation, out of a layer's tensors."""
    weight, norm = layer[0].weight, layer[1]
    groups = features.shape[1] // weight.shape[1]
    features = F.conv2d(features, weight, padding=weight.shape[-1] // 2, groups=groups)
    features = F.batch_norm(
        features, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps
    )
    return features.clamp(0, 6) if relu6 else features


@pytest.mark.parametrize("linear", [True, False])
@pytest.mark.parametrize("shortcut", ["bottleneck", "expansion", "none"])
@torch.no_grad()
def test_the_block_by_hand(shortcut: Shortcut, linear: bool) -> None:
    torch.manual_seed(0)
    block: Any = lively(
        InvertedResidual(4, 4, expansion=3, stride=1, shortcut=shortcut, linear=linear)
    )
    features, carried = torch.randn(2, 4, 6, 5), torch.randn(2, 12, 6, 5)
    for before in (None, carried):
        expanded = layer_by_hand(block.expand, features)
        if before is not None:
            expanded = expanded + before
        projected = layer_by_hand(
            block.project, layer_by_hand(block.depthwise, expanded), relu6=not linear
        )
        expected = features + projected if shortcut == "bottleneck" else projected
        output, found_expansion = block(features, before)
        torch.testing.assert_close(output, expected)
        torch.testing.assert_close(found_expansion, expanded)


def test_a_bottleneck_that_is_not_linear_adds_what_is_not_negative() -> None:
    torch.manual_seed(0)
    features = torch.randn(2, 8, 9, 9) - 5
    block = lively(InvertedResidual(8, 8, expansion=6, stride=1, linear=False))
    added = block(features)[0] - features
    assert added.min() >= -1e-5
    assert added.max() > 0.1
    assert block(features)[0].min() < 0  # there is no activation behind the addition
    alone = lively(InvertedResidual(8, 16, expansion=6, stride=1, linear=False))
    assert alone(features)[0].min() == 0
    assert alone(features * 100)[0].max() <= 6


@pytest.mark.parametrize("expansion", [1, 2, 3, 6])
def test_parameters_of_an_inverted_residual(expansion: int) -> None:
    """Without the expansion layer at factor 1; the variants of Figure 6 hold the same."""
    hidden = 8 * expansion
    expected = 9 * hidden + 2 * hidden + hidden * 8 + 2 * 8
    if expansion > 1:
        expected += 8 * hidden + 2 * hidden
    variants: list[dict[str, Any]] = [{}, {"linear": False}, {"shortcut": "expansion"}]
    for variant in variants:
        block = InvertedResidual(8, 8, expansion=expansion, stride=1, **variant)
        assert sum(p.numel() for p in block.parameters()) == expected


@pytest.mark.parametrize(("outside", "kept"), [(8, "expansion"), (16, "none")])
def test_a_shortcut_is_given_up_where_channels_change(outside: int, kept: str) -> None:
    block = InvertedResidual(8, outside, expansion=2, stride=1, shortcut="expansion")
    assert block.shortcut == kept


def test_depthwise_separable_by_hand() -> None:
    torch.manual_seed(0)
    block: Any = lively(DepthwiseSeparable(4, 6))
    features = torch.randn(2, 4, 7, 5)
    expected = layer_by_hand(block[1], layer_by_hand(block[0], features))
    torch.testing.assert_close(block(features), expected)
    assert sum(p.numel() for p in block.parameters()) == 9 * 4 + 8 + 4 * 6 + 12


@pytest.mark.parametrize(("padding", "kind"), [("symmetric", nn.Conv2d), ("same", SamePadConv2d)])
def test_depthwise_separable_gives_geometry_to_its_first_layer(
    padding: Padding, kind: type
) -> None:
    block: Any = DepthwiseSeparable(4, 6, stride=2, dilation=2, padding=padding, norm_epsilon=0.5)
    depthwise, pointwise = block[0][0], block[1][0]
    assert type(depthwise) is kind
    assert (depthwise.groups, depthwise.stride, depthwise.dilation) == (4, (2, 2), (2, 2))
    assert (pointwise.groups, pointwise.stride, pointwise.dilation) == (1, (1, 1), (1, 1))
    assert [layer[1].eps for layer in block] == [0.5, 0.5]
    assert block.eval()(torch.zeros(1, 4, 9, 8)).shape == (1, 6, 5, 4)


def test_depthwise_separable_takes_another_activation() -> None:
    block: Any = DepthwiseSeparable(4, 6, activation=nn.ReLU)
    assert [type(layer[2]) for layer in block] == [nn.ReLU, nn.ReLU]


def test_initial_weights_are_narrow_and_norms_do_nothing() -> None:
    torch.manual_seed(0)
    layer: Any = nn.Sequential(nn.Conv2d(64, 64, 3), nn.BatchNorm2d(64))
    nn.init.constant_(layer[1].weight, 3)
    initialize(layer)
    assert layer[0].weight.abs().max() <= 0.06
    assert layer[0].weight.std().item() == pytest.approx(0.03 * 0.8796, rel=0.02)  # cut at 2 sigma
    assert not layer[0].bias.any()
    assert (layer[1].weight == 1).all()
    assert not layer[1].bias.any()


@pytest.mark.parametrize(
    ("channels", "least", "expected"),
    [
        *((8, 16, 16), (12, 16, 16), (15.9, 16, 16), (20, 16, 24), (24, 16, 24), (160, 16, 160)),
        *((5, 12, 12), (11.2, 12, 12), (12, 12, 16)),  # the bound need not be a multiple
    ],
)
def test_channels_have_a_least_number(channels: float, least: int, expected: int) -> None:
    assert make_divisible(channels, least=least) == expected


def test_the_least_number_is_the_divisor_unless_it_is_given() -> None:
    assert [make_divisible(3, divisor) for divisor in (4, 8, 16)] == [4, 8, 16]
