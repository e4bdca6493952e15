import math
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision.models.segmentation.lraspp import LRASPPHead as ReferenceHead

from mnv2_dense.backbone.mobilenet_v2 import MobileNetV2
from mnv2_dense.ops.count import count_layers
from mnv2_dense.segmentation.decode import Decoder
from mnv2_dense.segmentation.head import FCNHead
from mnv2_dense.segmentation.inference import Inference
from mnv2_dense.segmentation.loss import SegmentationLoss
from mnv2_dense.segmentation.lraspp import LRASPPHead
from mnv2_dense.segmentation.network import OtherStride, Segmenter
from mnv2_dense.structures import FeatureSpec, ImageSize

TAP, LOW_LEVEL = FeatureSpec("coarse", 12, 16), FeatureSpec("fine", 5, 8)
TAPS = ["block_16", "block_5", "block_12"]
IMAGES = (2, 3, 65, 97)


def small(**options: Any) -> LRASPPHead:
    """A head whose norm is not the identity and whose gate is not one half."""
    torch.manual_seed(0)
    options = {"channels": 8, **options}
    head = LRASPPHead(TAP, LOW_LEVEL, 4, **options)
    for layer in head.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.normal_(layer.weight, std=0.5)
        if isinstance(layer, nn.BatchNorm2d):
            for tensor in (layer.weight, layer.bias, layer.running_mean, layer.running_var):
                assert tensor is not None
                nn.init.uniform_(tensor, 0.5, 1.5)
    return head.eval()


def features(batch: int = 2, height: int = 9, width: int = 13) -> dict[str, Tensor]:
    coarse = torch.randn(batch, 12, (height + 1) // 2, (width + 1) // 2)
    return {"coarse": coarse + 1, "fine": torch.randn(batch, 5, height, width)}


def build(output_stride: int = 16, *, auxiliary: bool = False, width: float = 0.1) -> Segmenter:
    backbone = MobileNetV2(TAPS, width_mult=width, output_stride=output_stride, norm_momentum=1.0)
    tap, low_level, other = backbone.specs
    head = LRASPPHead(tap, low_level, 4, channels=8, norm_momentum=1.0)
    return Segmenter(backbone, head, FCNHead(other, 4) if auxiliary else None)


def narrow(**options: Any) -> Segmenter:
    """Untrained, but with running statistics that let the signal through."""
    torch.manual_seed(0)
    network = build(**options)
    with torch.no_grad():
        network(torch.randn(4, *IMAGES[1:]))
    return network.eval()


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_segmenter_has_its_counts() -> None:
    """Three layers of 128 channels and two classifiers, by hand; at 513 pixels, 21 classes."""
    with torch.device("meta"):
        backbone = MobileNetV2(TAPS[:2], output_stride=16)
        tap, low_level = backbone.specs
        network = Segmenter(backbone, LRASPPHead(tap, low_level, 21))
    rows = count_layers(network, ImageSize(513, 513))
    head = [row for row in rows if row.name.startswith("head.")]
    by_hand = 2 * 320 * 128 + 2 * 128 + (128 + 1) * 21 + (32 + 1) * 21
    assert parameters(network.head) == sum(row.parameters for row in head) == by_hand == 85_578
    assert parameters(network) == 1_811_712 + 85_578
    fine, coarse = 65 * 65, 33 * 33
    in_head = 320 * 128 * (coarse + 1) + (128 + 32) * 21 * fine
    assert sum(row.multiply_adds for row in head) == in_head == 58_842_400


@pytest.mark.parametrize(("height", "width"), [(9, 13), (8, 6), (1, 1)])
@torch.no_grad()
def test_head_equals_torchvisions(height: int, width: int) -> None:
    head = small(align_corners=False)
    reference = ReferenceHead(LOW_LEVEL.channels, TAP.channels, 4, 8).eval()
    tensors, names = list(head.state_dict().values()), list(reference.state_dict())
    reference.load_state_dict(dict(zip(names, tensors, strict=True)))
    maps = features(height=height, width=width)
    expected = reference({"low": maps["fine"], "high": maps["coarse"]})
    assert expected.std() > 0.1
    torch.testing.assert_close(head(maps), expected)


@torch.no_grad()
def test_align_corners_keeps_cells_on_each_other() -> None:
    """Every second fine cell then stands where a coarse one does, and sees it alone."""
    for value in (True, False):
        head = small(align_corners=value)
        nn.init.zeros_(head.low_level_classifier.weight)
        maps = features()
        gate = head.gate(maps["coarse"].mean(dim=(2, 3), keepdim=True)).sigmoid()
        gated = head.project(maps["coarse"]) * gate
        found = head(maps)[:, :, ::2, ::2]
        same = torch.allclose(found, head.classifier(gated), rtol=1e-4, atol=1e-4)
        assert same is value


@torch.no_grad()
def test_images_of_a_batch_do_not_touch_each_other() -> None:
    head, maps = small(), features(batch=3)
    together = head(maps)
    assert together.shape == (3, 4, 9, 13)
    assert together.std(dim=0).mean() > 0.01
    for index in range(3):
        alone = head({name: each[index : index + 1] for name, each in maps.items()})
        torch.testing.assert_close(alone[0], together[index], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_batch_of_one_trains(precision: torch.dtype) -> None:
    head = small().train()
    with torch.autocast("cpu", precision, enabled=precision != torch.float32):
        logits = head(features(batch=1))
    logits.float().square().mean().backward()
    for name, parameter in head.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


def test_options_reach_every_layer() -> None:
    options: dict[str, Any] = {"norm_epsilon": 0.5, "norm_momentum": 0.25, "dropout": 0.3}
    head = LRASPPHead(TAP, LOW_LEVEL, 4, activation=nn.Hardswish, **options)
    (norm,) = [m for m in head.modules() if isinstance(m, nn.BatchNorm2d)]
    assert (norm.eps, norm.momentum, norm.num_features) == (0.5, 0.25, 128)
    assert sum(isinstance(m, nn.Hardswish) for m in head.modules()) == 1
    assert not any(isinstance(m, nn.ReLU | nn.ReLU6) for m in head.modules())
    assert head.dropout.p == 0.3
    assert head.gate.bias is None
    for classifier in (head.classifier, head.low_level_classifier):
        assert classifier.bias is not None


def record(seen: list[Tensor], _layer: nn.Module, inputs: tuple[Tensor]) -> None:
    seen.append(inputs[0])


def test_dropout_stands_before_the_logits_in_training() -> None:
    head = small(dropout=0.5)
    nn.init.constant_(head.get_parameter("project.1.bias"), 100)  # a 0 is then a dropped value
    seen: list[Tensor] = []
    head.classifier.register_forward_pre_hook(partial(record, seen))
    head.train()(features())
    assert 0.4 < (seen[0] == 0).float().mean() < 0.6
    head.eval()(features())
    assert (seen[1] > 0).all()


@torch.no_grad()
def test_channels_last_gives_the_same_numbers() -> None:
    head, maps = small(), features()
    other = {name: m.contiguous(memory_format=torch.channels_last) for name, m in maps.items()}
    torch.testing.assert_close(head(other), head(maps), rtol=1e-4, atol=1e-4)


def test_the_second_map_is_not_the_coarser_one() -> None:
    with pytest.raises(ValueError, match="coarse at stride 16 is coarser than fine at stride 8"):
        LRASPPHead(LOW_LEVEL, TAP, 4)
    LRASPPHead(TAP, TAP._replace(name="as coarse"), 4)


# In the network


@pytest.mark.parametrize("output_stride", [8, 16, 32])
@pytest.mark.parametrize("size", [(129, 129), (64, 64), (1, 1), (31, 200)])
@torch.no_grad()
def test_logits_stand_at_stride_8_whatever_the_output_stride(
    size: tuple[int, int], output_stride: int
) -> None:
    logits = narrow(output_stride=output_stride)(torch.randn(2, 3, *size)).class_logits
    assert logits.shape == (2, 4, *(math.ceil(side / 8) for side in size))


@pytest.mark.parametrize("output_stride", [8, 32])
@torch.no_grad()
def test_other_stride_equals_a_network_built_for_it(output_stride: int) -> None:
    network, images = narrow(), torch.randn(IMAGES)
    other = build(output_stride)
    other.load_state_dict(network.state_dict())
    with torch.device("meta"):
        stride = OtherStride(build(output_stride))
    found = stride(network, images).class_logits
    assert torch.equal(found, other.eval()(images).class_logits)
    own = network(images).class_logits
    assert own.shape == found.shape
    assert not torch.allclose(own, found)


@pytest.mark.parametrize("batch", [1, 2])
def test_every_parameter_learns_beside_an_auxiliary_head(batch: int) -> None:
    network = narrow(auxiliary=True).train()
    outputs = network(torch.randn(batch, *IMAGES[1:]))
    assert outputs.class_logits.shape == (batch, 4, 9, 13)
    assert outputs.auxiliary_logits.shape == (batch, 4, 5, 7)
    labels = torch.randint(0, 4, (batch, *IMAGES[2:])).to(torch.uint8)
    SegmentationLoss()(outputs, labels).total.backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


def test_windows_scales_and_flips_see_whole_pictures() -> None:
    """A picture that fits, and one above the window in both directions."""
    network, sizes = narrow(), [ImageSize(30, 33), ImageSize(70, 90)]
    window = ImageSize(33, 49)
    inference = Inference(Decoder(), window=window, scales=(0.5, 1.0, 1.75), flip=True)
    seen = torch.zeros(2, 70, 90)
    for strip in inference(network, torch.randn(2, 3, 70, 90), sizes):
        rows = slice(strip.top, strip.top + strip.size.height)
        columns = slice(strip.left, strip.left + strip.size.width)
        seen[strip.position, rows, columns] += strip.probabilities().sum(dim=0)
    expected = torch.zeros(2, 70, 90)
    expected[0, :30, :33] = 1
    expected[1] = 1
    torch.testing.assert_close(seen, expected)
