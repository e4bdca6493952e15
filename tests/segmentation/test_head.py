from collections.abc import Sequence
from functools import partial
from typing import Any, TypeVar, get_args

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, distributed, nn
from torchvision.models.segmentation.deeplabv3 import ASPP
from torchvision.models.segmentation.fcn import FCNHead as ReferenceFCNHead

from mnv2_dense.backbone.mobilenet_v2 import DEEPLAB_TAP, MobileNetV2
from mnv2_dense.ops.count import count_layers
from mnv2_dense.segmentation.head import Aspp, DeepLabV3Head, FCNHead, ImagePooling, scale_rates
from mnv2_dense.segmentation.network import Segmenter
from mnv2_dense.structures import FeatureSpec, ImageSize

TAP = FeatureSpec("map", 12, 16)
ALL: tuple[Aspp, ...] = get_args(Aspp)
SCALED = (257, 385, 513, 641, 769, 897)
"""Inputs of the paper's multi-scale protocol: 513 times 0.5 to 1.75."""


def full_size(
    aspp: Aspp = "none", num_classes: int = 21, output_stride: int = 16, tap: str = DEEPLAB_TAP
) -> Segmenter:
    """The paper's segmenter, with shapes and no numbers."""
    with torch.device("meta"):
        backbone = MobileNetV2([tap], output_stride=output_stride)
        return Segmenter(backbone, DeepLabV3Head(backbone.specs[0], num_classes, aspp=aspp))


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def multiply_adds(network: nn.Module, side: int) -> int:
    return sum(row.multiply_adds for row in count_layers(network, ImageSize(side, side)))


@pytest.mark.parametrize(
    ("aspp", "output_stride", "expected_parameters", "expected_multiply_adds"),
    [
        ("none", 16, 2_113_557, 2_740_709_056),
        ("none", 8, 2_113_557, 8_825_853_632),
        ("dense", 16, 4_523_541, 5_363_508_928),
        ("dense", 8, 4_523_541, 19_001_546_432),
        ("separable", 16, 2_568_021, 3_231_856_768),
    ],
)
def test_segmenter_has_the_papers_counts(
    aspp: Aspp, output_stride: int, expected_parameters: int, expected_multiply_adds: int
) -> None:
    """At 513 pixels; the separable one is not the paper's, which tells 4.52M and 5.8B."""
    network = full_size(aspp, output_stride=output_stride)
    rows = count_layers(network, ImageSize(513, 513))
    assert parameters(network) == expected_parameters
    assert sum(row.parameters for row in rows) == expected_parameters
    assert sum(row.multiply_adds for row in rows) == expected_multiply_adds


@pytest.mark.parametrize(
    ("aspp", "per_scale", "both_flips"),
    [
        (
            "none",
            (2272758464, 5014003904, 8825853632, 13708307648, 19661365952, 26685028544),
            152_334_636_288,
        ),
        (
            "dense",
            (4895558336, 10796687552, 19001546432, 29510134976, 42322453184, 57438501056),
            327_929_763_072,
        ),
    ],
)
def test_multi_scale_protocol_has_the_papers_counts(
    aspp: Aspp, per_scale: Sequence[int], both_flips: int
) -> None:
    """Table 7's 152.6B; 387B is ours with the padding of TensorFlow's atrous convolution."""
    network = full_size(aspp, output_stride=8)
    counted = tuple(multiply_adds(network, side) for side in SCALED)
    assert counted == per_scale
    assert 2 * sum(counted) == both_flips


@pytest.mark.parametrize(
    ("aspp", "num_classes", "tap", "expected"),
    [
        ("none", 19, DEEPLAB_TAP, 2_113_043),
        ("dense", 19, DEEPLAB_TAP, 4_523_027),
        ("none", 21, "last", 3_017_237),
        ("dense", 21, "last", 12_062_741),
    ],
)
def test_cityscapes_and_the_last_map_have_their_counts(
    aspp: Aspp, num_classes: int, tap: str, expected: int
) -> None:
    assert parameters(full_size(aspp, num_classes, tap=tap)) == expected


@pytest.mark.parametrize(("aspp", "expected"), [("none", 301_845), ("dense", 2_711_829)])
def test_head_alone_has_its_counts(aspp: Aspp, expected: int) -> None:
    assert parameters(full_size(aspp).head) == expected


@pytest.mark.parametrize(("aspp", "expected"), [("none", 2_146_699), ("dense", 4_558_222)])
def test_state_dict_holds_every_running_statistic(aspp: Aspp, expected: int) -> None:
    assert sum(tensor.numel() for tensor in full_size(aspp).state_dict().values()) == expected


def small(**options: Any) -> DeepLabV3Head:
    """A head whose norms are not the identity, so that a misplaced one shows."""
    torch.manual_seed(0)
    options = {"tap": TAP, "num_classes": 4, "channels": 8, **options}
    return stirred(DeepLabV3Head(**options)).eval()


Module = TypeVar("Module", bound=nn.Module)


def stirred(module: Module) -> Module:
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.normal_(layer.weight, std=0.3)
        if isinstance(layer, nn.BatchNorm2d):
            for tensor in (layer.weight, layer.bias, layer.running_mean, layer.running_var):
                assert tensor is not None
                nn.init.uniform_(tensor, 0.5, 1.5)
    return module


def features(batch: int = 2, height: int = 9, width: int = 13) -> dict[str, Tensor]:
    return {"map": torch.randn(batch, 12, height, width), "other": torch.randn(batch, 5, 3, 3)}


def copy_layers(source: nn.Module, target: nn.Module) -> None:
    """Tensors in order of definition, whatever the layers are called."""
    tensors = list(source.state_dict().values())
    names = list(target.state_dict())
    target.load_state_dict(dict(zip(names, tensors, strict=True)))


@pytest.mark.parametrize("stride", [8, 16, 32])
@pytest.mark.parametrize("aspp", ["none", "dense"])
@torch.no_grad()
def test_head_equals_torchvisions(aspp: Aspp, stride: int) -> None:
    """Before dropout and logits; torchvision puts the image pooling last, the release first."""
    head = small(aspp=aspp, tap=TAP._replace(stride=stride))
    rates = [rate * 16 // stride for rate in (6, 12, 18)] if aspp == "dense" else []
    reference = ASPP(12, rates, 8).eval()
    pooling: Any = reference.convs[-1]
    for ours, theirs in zip(head.branches, reference.convs[:-1], strict=True):
        copy_layers(ours, theirs)
    copy_layers(head.image_pooling, pooling)
    copy_layers(head.project, reference.project)
    project: Any = reference.project[0]
    project.weight.copy_(project.weight.roll(-8, dims=1))
    maps = features(height=40, width=37)
    expected = head.classifier(reference(maps["map"]))
    torch.testing.assert_close(head(maps), expected, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_separable_branch_is_depthwise_then_pointwise() -> None:
    """The whole branch, written with plain functions."""
    head = small(aspp="separable", atrous_rates=(2,))
    branch: Any = head.branches[1]
    (depthwise, first, _), (pointwise, second, _) = branch
    tap = features()["map"]
    spread = F.conv2d(tap, depthwise.weight, padding=2, dilation=2, groups=12)
    expected = F.relu(second(F.conv2d(F.relu(first(spread)), pointwise.weight)))
    torch.testing.assert_close(branch(tap), expected)
    assert len(head.branches) == 2


def test_rates_keep_their_reach_in_pixels() -> None:
    assert scale_rates((6, 12, 18), 16) == [6, 12, 18]
    assert scale_rates((6, 12, 18), 8) == [12, 24, 36]
    assert scale_rates((6, 12, 18), 32) == [3, 6, 9]
    assert scale_rates((1,), 32) == [1]  # a convolution has no rate of 0


@pytest.mark.parametrize("aspp", ALL)
@torch.no_grad()
def test_logits_have_the_taps_resolution_and_only_its_images(aspp: Aspp) -> None:
    head = small(aspp=aspp)
    maps = features(batch=3)
    together = head(maps)
    assert together.shape == (3, 4, 9, 13)
    assert together.std(dim=0).mean() > 0.01
    for index in range(3):
        alone = head({"map": maps["map"][index : index + 1]})
        torch.testing.assert_close(alone[0], together[index], rtol=1e-4, atol=1e-4)


def norms_of(module: nn.Module) -> dict[str, nn.BatchNorm2d]:
    return {n: m for n, m in module.named_modules() if isinstance(m, nn.BatchNorm2d)}


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("aspp", ALL)
def test_batch_of_one_trains(aspp: Aspp, precision: torch.dtype) -> None:
    """One value per channel has no variance: that norm alone keeps its statistics."""
    head = small(aspp=aspp).train()
    before = {name: value.clone() for name, value in head.state_dict().items()}
    with torch.autocast("cpu", precision, enabled=precision != torch.float32):
        logits = head(features(batch=1))
    logits.float().square().mean().backward()
    for name, parameter in head.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name
    after = head.state_dict()
    for name, norm in norms_of(head).items():
        kept = name == "image_pooling.norm"
        assert norm.num_batches_tracked is not None
        assert int(norm.num_batches_tracked) == (0 if kept else 1), name
        for statistic in ("running_mean", "running_var"):
            same = torch.equal(before[f"{name}.{statistic}"], after[f"{name}.{statistic}"])
            assert same == kept, name


def pooling(epsilon: float = 0.5) -> ImagePooling:
    torch.manual_seed(0)
    layer: dict[str, Any] = {"norm_epsilon": epsilon, "norm_momentum": 0.1, "activation": nn.ReLU}
    return stirred(ImagePooling(12, 8, **layer))


def test_image_pooling_of_one_image_in_training_is_that_of_evaluation() -> None:
    layer = pooling()
    tap = features(batch=1)["map"]
    trained, evaluated = layer.train()(tap), layer.eval()(tap)
    assert trained.std() > 0.1
    assert torch.equal(trained, evaluated)


def test_image_pooling_of_two_images_measures_them() -> None:
    """Two values per channel, normalised: plus and minus one, before scale and shift."""
    layer = pooling(epsilon=1e-6).train()
    layer.activation = nn.Identity()
    old = layer.state_dict()["norm.running_mean"].clone()
    pooled = layer(20 * features(batch=2)["map"])[:, :, 0, 0]
    with torch.no_grad():
        normalized = (pooled - layer.norm.bias) / layer.norm.weight
    torch.testing.assert_close(normalized.abs(), torch.ones(2, 8), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(normalized.sum(dim=0), torch.zeros(8))
    assert not torch.equal(layer.state_dict()["norm.running_mean"], old)


def test_image_pooling_is_the_mean_at_every_cell() -> None:
    layer = pooling().eval()
    nn.init.eye_(layer.get_parameter("convolution.weight").view(8, 12))
    layer.norm, layer.activation = nn.Identity(), nn.Identity()  # pyrefly: ignore
    layer.norm.training = False
    tap = features()["map"]
    expected = tap.mean(dim=(2, 3))[:, :8]
    for row, column in ((0, 0), (4, 7), (8, 12)):
        torch.testing.assert_close(layer(tap)[:, :, row, column], expected)


def test_synchronised_norm_takes_part_where_other_processes_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Skipping the norm for one image would leave the other processes waiting for it."""
    layer = nn.SyncBatchNorm.convert_sync_batchnorm(pooling()).train()
    tap = features(batch=1)["map"]
    assert layer(tap).isfinite().all()  # a single process has nobody to wait for
    monkeypatch.setattr(distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(distributed, "get_world_size", lambda group=None: 1)
    assert layer(tap).isfinite().all()
    monkeypatch.setattr(distributed, "get_world_size", lambda group=None: 2)
    with pytest.raises(ValueError, match="GPU"):  # what the norm says when it is reached
        layer(tap)
    assert layer.eval()(tap).isfinite().all()


def test_frozen_norms_stay_frozen() -> None:
    """`FreezeNorms` stops the norms alone; the rest of the head goes on training."""
    head = small(dropout=0.0).train()
    for norm in norms_of(head).values():
        norm.eval()
    maps = features()
    trained = head(maps)
    assert torch.equal(trained, head.eval()(maps))


@pytest.mark.parametrize("aspp", ALL)
def test_options_reach_every_layer(aspp: Aspp) -> None:
    options: dict[str, Any] = {"norm_epsilon": 0.5, "norm_momentum": 0.25, "dropout": 0.3}
    heads = (
        DeepLabV3Head(TAP, 4, aspp=aspp, activation=nn.Hardswish, **options),
        FCNHead(TAP, 4, activation=nn.Hardswish, **options),
    )
    for head in heads:
        norms = norms_of(head).values()
        assert {(norm.eps, norm.momentum) for norm in norms} == {(0.5, 0.25)}
        activations = [m for m in head.modules() if isinstance(m, nn.Hardswish)]
        assert len(activations) == len(norms)
        assert not any(isinstance(m, nn.ReLU | nn.ReLU6) for m in head.modules())
        assert head.dropout.p == 0.3


def test_defaults_are_the_releases() -> None:
    """Epsilon 1e-5 and ReLU in the head, unlike the backbone's 1e-3 and ReLU6."""
    head = DeepLabV3Head(TAP, 4, aspp="dense")
    assert {norm.eps for norm in norms_of(head).values()} == {1e-5}
    assert sum(type(m) is nn.ReLU for m in head.modules()) == len(norms_of(head)) == 6
    assert head.dropout.p == pytest.approx(0.1)
    assert head.classifier.bias is not None
    assert not head.classifier.bias.any()


def record(seen: list[Tensor], _layer: nn.Module, inputs: tuple[Tensor]) -> None:
    seen.append(inputs[0])


def test_dropout_stands_before_the_logits_in_training() -> None:
    """Half of what reaches the logits is 0 in training, nothing of it in evaluation."""
    for head in (small(dropout=0.5), FCNHead(TAP, 4, dropout=0.5)):
        norms = list(norms_of(head).values())
        nn.init.constant_(norms[-1].bias, 100)  # far above 0, so that a 0 is a dropped value
        seen: list[Tensor] = []

        head.classifier.register_forward_pre_hook(partial(record, seen))
        head.train()(features())
        assert 0.4 < (seen[0] == 0).float().mean() < 0.6
        head.eval()(features())
        assert (seen[1] > 0).all()


@torch.no_grad()
def test_auxiliary_head_equals_torchvisions() -> None:
    head = stirred(FCNHead(TAP, 4)).eval()
    reference = ReferenceFCNHead(12, 4).eval()
    copy_layers(head, reference)
    maps = features()
    torch.testing.assert_close(head(maps), reference(maps["map"]))


def test_weights_begin_as_the_releases() -> None:
    for head in (DeepLabV3Head(TAP, 4, aspp="separable"), FCNHead(TAP, 4)):
        convolutions = [m for m in head.modules() if isinstance(m, nn.Conv2d)]
        weights = torch.cat([layer.weight.flatten() for layer in convolutions])
        assert weights.abs().max() <= 0.06
        assert 0.024 < weights.std() < 0.03  # a normal of 0.03 cut at two deviations has 0.0264


@pytest.mark.parametrize("aspp", ALL)
@torch.no_grad()
def test_channels_last_gives_the_same_numbers(aspp: Aspp) -> None:
    head = small(aspp=aspp)
    maps = features()
    other = {name: m.contiguous(memory_format=torch.channels_last) for name, m in maps.items()}
    torch.testing.assert_close(head(other), head(maps), rtol=1e-4, atol=1e-4)
