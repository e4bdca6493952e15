import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mnv2_dense.backbone.blocks import (
    ConvNormAct,
    InvertedResidual,
    Padding,
    SamePadConv2d,
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


def residual_block(*, outside: int = 8, stride: int = 1, shortcut: bool = True) -> nn.Module:
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
        residual_block(stride=2, shortcut=False),
        residual_block(shortcut=False),  # a stride that dilation replaced
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
