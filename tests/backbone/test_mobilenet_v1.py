import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mnv2_dense.backbone.blocks import Padding, SamePadConv2d
from mnv2_dense.backbone.classifier import Classifier
from mnv2_dense.backbone.mobilenet_v1 import MobileNetV1
from mnv2_dense.ops.count import count_layers
from mnv2_dense.structures import FeatureSpec, ImageSize
from tests.backbone.checks import check_denser

NARROW = 0.1
# Its paper, Table 1: channels behind the convolution and behind each separable block.
CHANNELS = (32, 64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024)
STRIDES = (2, 1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1)
EVERY_TAP = tuple(f"Conv2d_{index}" for index in range(14))
SSD_TAPS = ("Conv2d_11", "Conv2d_13")


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def multiply_adds(module: nn.Module, side: int) -> int:
    return sum(row.multiply_adds for row in count_layers(module, ImageSize(side, side)))


def shapes_only(*args: Any, **kwargs: Any) -> MobileNetV1:
    with torch.device("meta"):
        return MobileNetV1(*args, **kwargs)


def test_classifier_has_the_papers_counts() -> None:
    """The reference's figures behind the paper's Table 4 (4.2M; its 575M is known to be wrong)."""
    with torch.device("meta"):
        network = Classifier(MobileNetV1(("Conv2d_13",)))
    statistics = sum(b.numel() for name, b in network.named_buffers() if "running" in name)
    assert parameters(network) == 4_231_976
    assert multiply_adds(network, 224) == 568_740_352
    assert statistics == 21_888
    # Without batch norms and the bias of the logits, as the release counts.
    assert sum(p.numel() for p in network.parameters() if p.dim() > 1) == 4_209_088


def test_backbone_of_the_papers_detector() -> None:
    backbone = shapes_only()
    assert parameters(backbone) == 3_206_976
    assert multiply_adds(backbone, 320) == 1_158_604_800


@pytest.mark.parametrize("width_mult", [0.25, 0.5, 0.75, 1.0])
@pytest.mark.parametrize("cells", [4, 7])
def test_counts_of_other_widths_by_formula(width_mult: float, cells: int) -> None:
    """Depthwise: 9 weights a channel; pointwise: a product; a norm holds two a channel."""
    depths = [int(depth * width_mult) for depth in CHANNELS]
    side = 32 * cells // 2
    weights, work = 27 * depths[0] + 2 * depths[0], 27 * depths[0] * side**2
    for index in range(1, 14):
        before, after = depths[index - 1], depths[index]
        side //= STRIDES[index]
        weights += 9 * before + 2 * before + before * after + 2 * after
        work += (9 * before + before * after) * side**2
    backbone = shapes_only(("Conv2d_13",), width_mult=width_mult)
    assert side == cells
    assert parameters(backbone) == weights
    assert multiply_adds(backbone, 32 * cells) == work


def test_detection_and_segmentation_taps_are_those_of_the_reference() -> None:
    assert shapes_only().specs == (
        FeatureSpec("Conv2d_11", 512, 16),
        FeatureSpec("Conv2d_13", 1024, 32),
    )
    assert shapes_only((MobileNetV1.default_taps.segmentation,), output_stride=16).specs == (
        FeatureSpec("Conv2d_13", 1024, 16),
    )
    assert shapes_only((MobileNetV1.default_taps.low_level,)).specs[0].stride == 8


@pytest.mark.parametrize("padding", ["symmetric", "same"])
@pytest.mark.parametrize("output_stride", [8, 16, 32])
@pytest.mark.parametrize("size", [(64, 64), (37, 75), (1, 33)])
def test_specs_agree_with_the_maps_of_every_tap(
    padding: Padding, output_stride: int, size: tuple[int, int]
) -> None:
    backbone = MobileNetV1(
        EVERY_TAP, width_mult=NARROW, output_stride=output_stride, padding=padding
    ).eval()
    with torch.no_grad():
        maps = backbone(torch.randn(1, 3, *size))
    assert list(maps) == list(EVERY_TAP) == [spec.name for spec in backbone.specs]
    stride = 1
    for spec, depth, step in zip(backbone.specs, CHANNELS, STRIDES, strict=True):
        stride = min(stride * step, output_stride)
        cells = [math.ceil(side / stride) for side in size]
        assert spec == (spec.name, max(int(depth * NARROW), 8), stride)
        assert maps[spec.name].shape == (1, spec.channels, *cells), spec


@pytest.mark.parametrize(
    ("output_stride", "dilated"),
    [(32, {}), (16, {13: 2}), (8, {**dict.fromkeys(range(7, 13), 2), 13: 4})],
)
def test_only_depthwise_layers_are_dilated(output_stride: int, dilated: dict[int, int]) -> None:
    blocks: Any = shapes_only(("Conv2d_13",), output_stride=output_stride).blocks
    for index, (depthwise, pointwise) in enumerate(blocks, start=1):
        rate = dilated.get(index, 1)
        assert depthwise[0].dilation == depthwise[0].padding == (rate, rate), index
        assert depthwise[0].groups == CHANNELS[index - 1]
        assert pointwise[0].dilation == (1, 1)


@pytest.mark.parametrize("output_stride", [8, 16])
def test_dilated_network_computes_the_plain_one_more_densely(output_stride: int) -> None:
    torch.manual_seed(0)
    images = torch.randn(1, 3, 66, 130)
    plain = MobileNetV1(("Conv2d_13",), width_mult=NARROW, norm_momentum=1)
    dense = MobileNetV1(("Conv2d_13",), width_mult=NARROW, output_stride=output_stride)
    check_denser(plain, dense, images)


def chain(weights: dict[str, Tensor], images: Tensor, padding: Padding, epsilon: float) -> Tensor:
    """The network again, from its paper's Table 1, by functions alone."""
    tensors = [t for name, t in weights.items() if not name.endswith("num_batches_tracked")]
    features = images
    strides = [STRIDES[0]] + [s for stride in STRIDES[1:] for s in (stride, 1)]
    assert len(tensors) == 5 * len(strides)
    for index, stride in enumerate(strides):
        weight, scale, shift, mean, variance = tensors[5 * index : 5 * index + 5]
        if weight.shape[-1] == 3:
            # TensorFlow's SAME leaves out the first row and column where the side is even.
            first = [
                0 if padding == "same" and stride == 2 and side % 2 == 0 else 1
                for side in features.shape[-2:]
            ]
            features = F.pad(features, (first[1], 1, first[0], 1))
        groups = features.shape[1] if weight.shape[1] == 1 else 1
        features = F.conv2d(features, weight, stride=stride, groups=groups)
        root = (variance + epsilon).sqrt()
        features = (features - mean[:, None, None]) / root[:, None, None]
        features = features * scale[:, None, None] + shift[:, None, None]
        features = features.clamp(0, 6)
    return features


@pytest.mark.parametrize("padding", ["symmetric", "same"])
@pytest.mark.parametrize("size", [(64, 96), (65, 71), (66, 37)])
@torch.no_grad()
def test_the_network_is_the_papers_chain(padding: Padding, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    backbone = MobileNetV1(
        ("Conv2d_13",), width_mult=0.25, padding=padding, norm_epsilon=0.01, norm_momentum=1
    )
    for layer in backbone.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.weight, 0.5, 2)
            nn.init.normal_(layer.bias, 0, 0.3)
    images = torch.randn(2, 3, *size)
    backbone(images)  # running statistics far from 0 and 1
    found = backbone.eval()(images)["Conv2d_13"]
    expected = chain(backbone.state_dict(), images, padding, epsilon=0.01)
    assert expected.std() > 0.1  # a comparison of zeros would prove nothing
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_same_padding_reaches_every_strided_layer() -> None:
    layers = [m for m in shapes_only(padding="same").modules() if isinstance(m, nn.Conv2d)]
    strided = [layer for layer in layers if layer.stride[0] == 2]
    assert len(layers) == 27
    assert len(strided) == 5
    assert all(isinstance(layer, SamePadConv2d) for layer in strided)


def test_no_layer_behind_the_deepest_tap() -> None:
    for tap, blocks in (("Conv2d_0", 0), ("Conv2d_5", 5), ("Conv2d_13", 13)):
        assert len(shapes_only((tap, "Conv2d_0")).blocks) == blocks


@pytest.mark.parametrize("tap", ["Conv2d_0", "Conv2d_6", "Conv2d_13"])
def test_every_parameter_serves_the_deepest_tap(tap: str) -> None:
    backbone = MobileNetV1((tap,), width_mult=NARROW)
    backbone(torch.randn(2, 3, 64, 64))[tap].sum().backward()
    assert [name for name, p in backbone.named_parameters() if p.grad is None] == []


def test_norm_options_reach_every_norm() -> None:
    backbone = shapes_only(norm_epsilon=0.5, norm_momentum=0.25)
    norms = [layer for layer in backbone.modules() if isinstance(layer, nn.BatchNorm2d)]
    assert len(norms) == 27
    assert {(norm.eps, norm.momentum) for norm in norms} == {(0.5, 0.25)}


def test_what_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match=r"Conv2d_14.*mobilenet_v1 has Conv2d_0 to Conv2d_13$"):
        MobileNetV1(("Conv2d_14",))
    with pytest.raises(ValueError, match="at least one tap"):
        MobileNetV1(())
    with pytest.raises(ValueError, match="8, 16 or 32, not 4"):
        MobileNetV1(output_stride=4)
