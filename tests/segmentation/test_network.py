import copy
import math
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mnv2_dense.backbone.mobilenet_v2 import DEEPLAB_TAP, MobileNetV2
from mnv2_dense.segmentation.head import DeepLabV3Head, FCNHead
from mnv2_dense.segmentation.loss import SegmentationLoss
from mnv2_dense.segmentation.lraspp import LRASPPHead
from mnv2_dense.segmentation.network import OtherStride, Segmenter

AUXILIARY_TAP = "block_12"
IMAGES = (2, 3, 65, 97)


def build(
    output_stride: int = 16, *, auxiliary: bool = False, num_classes: int = 4, width: float = 0.1
) -> Segmenter:
    taps = [DEEPLAB_TAP, AUXILIARY_TAP] if auxiliary else [DEEPLAB_TAP]
    backbone = MobileNetV2(taps, width_mult=width, output_stride=output_stride, norm_momentum=1.0)
    options = {"norm_momentum": 1.0}
    head = DeepLabV3Head(backbone.specs[0], num_classes, aspp="dense", channels=8, **options)
    second = FCNHead(backbone.specs[1], num_classes, **options) if auxiliary else None
    return Segmenter(backbone, head, second)


def narrow(output_stride: int = 16, **options: Any) -> Segmenter:
    """Untrained, but with running statistics that let the signal through."""
    torch.manual_seed(0)
    network = build(output_stride, **options)
    with torch.no_grad():
        network(torch.randn(4, *IMAGES[1:]))
    return network.eval()


def other_stride(output_stride: int = 8, **options: Any) -> OtherStride:
    with torch.device("meta"):
        return OtherStride(build(output_stride, **options))


def rebuilt(network: Segmenter, output_stride: int, **options: Any) -> Segmenter:
    """The ordinary way to the other stride: a second network with the same weights."""
    other = build(output_stride, **options)
    other.load_state_dict(network.state_dict())
    return other.eval()


def images(batch: int = 2) -> Tensor:
    return torch.randn(batch, *IMAGES[1:], generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("output_stride", [8, 16, 32])
@pytest.mark.parametrize("size", [(129, 129), (64, 64), (1, 1), (97, 33), (31, 200)])
@torch.no_grad()
def test_any_size_has_one_vector_of_logits_per_cell(
    size: tuple[int, int], output_stride: int
) -> None:
    logits = narrow(output_stride)(torch.randn(2, 3, *size)).class_logits
    assert logits.shape == (2, 4, *(math.ceil(side / output_stride) for side in size))


@torch.no_grad()
def test_images_of_a_batch_do_not_touch_each_other() -> None:
    network = narrow()
    together = network(images(3)).class_logits
    assert together.std(dim=0).mean() > 0.01
    for index in range(3):
        alone = network(images(3)[index : index + 1]).class_logits
        torch.testing.assert_close(alone[0], together[index], rtol=1e-3, atol=1e-3)


def test_auxiliary_head_runs_in_training_only() -> None:
    network = narrow(auxiliary=True)
    assert network(images()).auxiliary_logits is None
    logits, auxiliary = network.train()(images())
    assert auxiliary is not None
    assert auxiliary.shape == logits.shape == (2, 4, 5, 7)
    assert narrow().train()(images()).auxiliary_logits is None


@pytest.mark.parametrize("auxiliary", [False, True])
@pytest.mark.parametrize("batch", [1, 2])
def test_every_parameter_learns(batch: int, auxiliary: bool) -> None:
    """Also from one image, after an evaluation in inference mode, as Lightning does it."""
    network, stride = narrow(auxiliary=auxiliary), other_stride(auxiliary=auxiliary)
    with torch.inference_mode():
        network(images(batch))
        stride(network, images(batch))
    outputs = network.train()(images(batch))
    labels = torch.randint(0, 4, (batch, *IMAGES[2:])).to(torch.uint8)
    SegmentationLoss()(outputs, labels).total.backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


@pytest.mark.parametrize("output_stride", [8, 32])
@pytest.mark.parametrize("auxiliary", [False, True])
@torch.no_grad()
def test_other_stride_equals_a_network_built_for_it(output_stride: int, auxiliary: bool) -> None:
    network = narrow(auxiliary=auxiliary)
    expected = rebuilt(network, output_stride, auxiliary=auxiliary)(images())
    outputs = other_stride(output_stride, auxiliary=auxiliary)(network, images())
    assert torch.equal(outputs.class_logits, expected.class_logits)
    assert outputs.auxiliary_logits is None
    assert outputs.class_logits.shape[-1] == math.ceil(97 / output_stride)


@torch.no_grad()
def test_at_stride_8_every_second_cell_stands_where_a_cell_of_stride_16_does() -> None:
    """In the middle, with the pooled branch off and atrous branches that stay inside.

    A map of stride 8 holds all cells of stride 16 and as many between them, if dilations and
    rates are right: nothing that the coarse network computes is lost.
    """
    torch.manual_seed(0)
    network = narrow()
    head = network.head
    assert isinstance(head, DeepLabV3Head)
    for layer in (head.image_pooling, *list(head.branches)[1:]):
        for parameter in layer.parameters():
            parameter.zero_()
    picture = torch.randn(1, 3, 513, 513)
    coarse = network(picture).class_logits
    fine = other_stride()(network, picture).class_logits
    middle = slice(14, 19)
    expected = coarse[:, :, middle, middle]
    assert expected.std() > 1e-3
    torch.testing.assert_close(fine[:, :, 28:38:2, 28:38:2], expected, rtol=1e-3, atol=1e-4)


def test_other_stride_gives_no_gradients_and_changes_nothing() -> None:
    network = narrow().train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    outputs = other_stride()(network, images())
    assert not outputs.class_logits.requires_grad
    assert network.training
    assert all(p.requires_grad and p.grad is None for p in network.parameters())
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name]), name


@torch.no_grad()
def test_other_stride_follows_the_weights() -> None:
    """Steps of an optimiser, an average that is swapped in, new running statistics."""
    network, stride = narrow(), other_stride()
    seen = [stride(network, images()).class_logits]

    def check() -> None:
        logits = stride(network, images()).class_logits
        assert not any(torch.equal(logits, earlier) for earlier in seen)
        assert torch.equal(logits, rebuilt(network, 8)(images()).class_logits)
        seen.append(logits)

    network.head.classifier.weight.mul_(2)
    check()
    network.head.classifier.weight.data = torch.randn_like(network.head.classifier.weight)
    check()
    network.head.classifier.weight = nn.Parameter(torch.randn(4, 8, 1, 1))
    check()
    network.train()(3 * images())
    check()


@torch.no_grad()
def test_other_stride_of_a_compiled_network() -> None:
    network = narrow()
    expected = rebuilt(network, 8)(images()).class_logits
    network.compile(backend="eager")
    assert torch.equal(other_stride()(network, images()).class_logits, expected)


def test_synchronised_norms_keep_all_names_and_numbers() -> None:
    network = narrow(auxiliary=True)
    expected = rebuilt(network, 8, auxiliary=True)(images()).class_logits
    names = list(network.state_dict())
    converted = nn.SyncBatchNorm.convert_sync_batchnorm(network)
    assert list(converted.state_dict()) == names
    assert not any(type(module) is nn.BatchNorm2d for module in converted.modules())
    with torch.no_grad():
        outputs = other_stride(auxiliary=True)(converted, images())
        assert torch.equal(outputs.class_logits, expected)
    converted.train()(images(1)).class_logits.sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in converted.head.parameters())


def test_other_stride_holds_no_weights() -> None:
    """A checkpoint, an optimiser and an average do not see it; copies of a task may hold it."""
    stride = other_stride()
    owner = nn.Module()
    owner.stride = stride  # pyrefly: ignore
    assert not list(owner.parameters())
    assert not owner.state_dict()
    assert all(tensor.is_meta for tensor in stride.structure.state_dict().values())
    network = narrow()
    expected = stride(network, images()).class_logits
    for twin in (copy.deepcopy(stride), pickle.loads(pickle.dumps(stride))):
        assert torch.equal(twin(network, images()).class_logits, expected)


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"num_classes": 5}, r"head\.classifier\.bias, head\.classifier\.weight$"),
        ({"auxiliary": True}, r"auxiliary_head\..* \.\.\.$"),
        ({"width": 0.5}, "backbone"),
    ],
)
def test_other_weights_than_the_structures_are_refused(options: dict[str, Any], name: str) -> None:
    with pytest.raises(ValueError, match=f"other weights than the structure's: {name}"):
        other_stride()(narrow(**options), images())


@pytest.mark.parametrize("kind", ["plain", "auxiliary", "lr_aspp"])
def test_class_layers_alone_have_the_shapes_of_the_classes(kind: str) -> None:
    """Of the tensors, those and no others change their shape with the number of classes."""
    networks = [classes_of(kind, num_classes) for num_classes in (4, 9)]
    first, second = (network.state_dict() for network in networks)
    changed = {name for name in first if first[name].shape != second[name].shape}
    layers = networks[0].class_layers
    tensors = {f"{layer}.{part}" for layer in layers for part in ("weight", "bias")}
    assert tensors & first.keys() == changed
    assert len(layers) == {"plain": 1, "auxiliary": 2, "lr_aspp": 2}[kind]


def classes_of(kind: str, num_classes: int) -> Segmenter:
    if kind != "lr_aspp":
        return build(auxiliary=kind == "auxiliary", num_classes=num_classes)
    backbone = MobileNetV2([DEEPLAB_TAP, "block_5_expansion"], width_mult=0.1, output_stride=16)
    tap, finer = sorted(backbone.specs, key=lambda spec: -spec.stride)
    return Segmenter(backbone, LRASPPHead(tap, finer, num_classes, channels=8))
