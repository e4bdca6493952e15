import copy
import math
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn

from mnv2_dense.backbone.timm_features import TimmFeatures, from_timm
from mnv2_dense.builders import detection, segmentation
from mnv2_dense.builders.backbones import build_backbone, build_classifier
from mnv2_dense.detection.data import join_targets
from mnv2_dense.errors import UserError
from mnv2_dense.structures import BoxTargets, FeatureSpec, ImageSize
from tests.commands import tiny

ALL = tuple(f"feature_{index}" for index in range(5))
MOBILE = ["mobilenetv4_conv_small", "tf_efficientnet_lite0"]


def overrides(name: str, *changes: str) -> tuple[str, ...]:
    return f"backbone.name=timm/{name}", "backbone.width_mult=1.0", *changes


def shapes(module: nn.Module) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in module.state_dict().items()}


@pytest.mark.parametrize("name", MOBILE)
@pytest.mark.parametrize(("output_stride", "size"), [(32, (64, 96)), (16, (65, 33)), (8, (97, 64))])
def test_specs_agree_with_the_maps(name: str, output_stride: int, size: tuple[int, int]) -> None:
    with torch.device("meta"):
        backbone = TimmFeatures(name, ALL, output_stride=output_stride).eval()
        plain = TimmFeatures(name, ALL)
        maps = backbone(torch.zeros(1, 3, *size))
    assert list(maps) == [spec.name for spec in backbone.specs] == list(ALL)
    strides = [min(stride, output_stride) for stride in (2, 4, 8, 16, 32)]
    assert [spec.stride for spec in backbone.specs] == strides
    for spec in backbone.specs:
        cells = [math.ceil(side / spec.stride) for side in size]
        assert maps[spec.name].shape == (1, spec.channels, *cells)
    assert shapes(backbone) == shapes(plain)


def test_maps_of_mobilenet_v4_and_efficientnet_lite() -> None:
    """The last blocks' channels, from the papers' tables (arXiv 2404.10518, 1905.11946)."""
    with torch.device("meta"):
        small = TimmFeatures("mobilenetv4_conv_small", ("feature_4", "feature_2"))
        lite = TimmFeatures("efficientnet_lite0", ("feature_3", "feature_4"))
    assert small.specs == (FeatureSpec("feature_4", 960, 32), FeatureSpec("feature_2", 64, 8))
    assert lite.specs == (FeatureSpec("feature_3", 112, 16), FeatureSpec("feature_4", 320, 32))


@pytest.mark.parametrize(
    ("name", "channels_last", "options"),
    [
        ("test_efficientnet", False, {}),  # a class of timm's own for feature maps
        ("test_efficientnet", False, {"output_stride": 8}),
        ("test_byobnet", False, {"output_stride": 16}),  # one whose layers are renamed
        ("test_mambaout", True, {}),
    ],
)
def test_features_are_timms_own(name: str, channels_last: bool, options: dict[str, Any]) -> None:
    taps = ("feature_3", "feature_1")
    torch.manual_seed(0)
    backbone = TimmFeatures(name, taps, **options).eval()
    torch.manual_seed(0)
    theirs = timm.create_model(name, features_only=True, out_indices=(1, 3), **options).eval()
    theirs.load_state_dict(backbone.model.state_dict(), strict=False)
    images = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        ours, expected = backbone(images), theirs(images)
    if channels_last:
        expected = [each.permute(0, 3, 1, 2) for each in expected]
    assert list(ours) == list(taps)
    assert torch.equal(ours["feature_1"], expected[0])
    assert torch.equal(ours["feature_3"], expected[1])
    assert ours["feature_3"].std() > 0


def test_no_block_behind_the_last_tap_is_built() -> None:
    whole = TimmFeatures("test_efficientnet", ("feature_4",))
    for name in ("test_efficientnet", "test_byobnet"):
        backbone = TimmFeatures(name, ("feature_2",))
        backbone(torch.randn(2, 3, 64, 64))["feature_2"].sum().backward()
        assert all(parameter.grad is not None for parameter in backbone.parameters())
    short = TimmFeatures("test_efficientnet", ("feature_2",))
    assert len(short.state_dict()) < len(whole.state_dict())


def test_norms_keep_the_models_epsilon_unless_given() -> None:
    for name, epsilon in (("test_efficientnet", 1e-5), ("tf_efficientnet_lite0", 1e-3)):
        for given, expected in ((None, epsilon), (0.25, 0.25)):
            with torch.device("meta"):
                backbone = TimmFeatures(name, ALL[:2], norm_epsilon=given, norm_momentum=0.5)
            norms = [each for each in backbone.modules() if isinstance(each, nn.BatchNorm2d)]
            assert norms
            assert {(norm.eps, norm.momentum) for norm in norms} == {(expected, 0.5)}


def test_it_is_built_on_meta_and_copied() -> None:
    with torch.device("meta"):
        backbone = TimmFeatures("test_byobnet", ALL)
    assert {each.device.type for each in backbone.state_dict().values()} == {"meta"}
    assert shapes(backbone) == shapes(copy.deepcopy(backbone))


def test_refusals() -> None:
    with pytest.raises(ValueError, match=r"\['last'\]; timm/test_resnet has feature_0"):
        TimmFeatures("test_resnet", ("last",))
    with pytest.raises(ValueError, match="at least one tap"):
        TimmFeatures("test_resnet", ())
    with pytest.raises(ValueError, match="must be 8, 16 or 32, not 4"):
        TimmFeatures("test_resnet", ("feature_0",), output_stride=4)


def test_a_size_that_the_model_cannot_run_at_is_named() -> None:
    with torch.device("meta"):
        backbone = TimmFeatures("dla34", ("feature_5",)).eval()
        assert backbone(torch.zeros(1, 3, 32, 64))["feature_5"].shape == (1, 512, 1, 2)
        with pytest.raises(UserError, match="multiples of 32, not 33x64; set input"):
            backbone(torch.zeros(1, 3, 33, 64))


def test_timms_names_become_ours() -> None:
    one, two = torch.zeros(1), torch.zeros(2)
    own = ["model.stages_0.w", "model.layer1.0.w", "model.model.blocks.0.w"]
    state = {"stages.0.w": one, "layer1.0.w": two, "blocks.0.w": one, "fc.w": two}
    assert from_timm(state, own) == dict(zip(own, (one, two, one), strict=True))
    assert from_timm(dict.fromkeys([*own, "model.later"], one), own) == dict.fromkeys(own, one)


def require_gradients(network: nn.Module, loss: Tensor) -> None:
    assert loss.isfinite()
    loss.backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


@pytest.mark.parametrize("name", MOBILE)
def test_a_detector_trains_on_it(name: str) -> None:
    changes = overrides(name, "backbone.output_stride=32")
    config = tiny.config_of(Path("data"), *changes)
    network = detection.build_network(config, 2)
    assert [spec.stride for spec in network.backbone.specs] == [16, 32]
    targets = BoxTargets(torch.tensor([[8.0, 8.0, 40.0, 48.0]]), torch.tensor([1]))
    outputs = network(torch.randn(2, 3, 64, 64))
    terms = detection.build_loss(config)(outputs, join_targets([targets] * 2), ImageSize(64, 64))
    require_gradients(network, terms.total)
    assert detection.coarsest_stride(config) == 32 * 4


@pytest.mark.parametrize("name", MOBILE)
def test_a_segmenter_trains_on_it_and_runs_at_another_stride(name: str) -> None:
    changes = overrides(name, "head.auxiliary=true", "evaluation.output_stride=8")
    config = tiny.segmentation_config_of(Path("data"), *changes)
    network = segmentation.build_network(config, 3)
    assert [(spec.name, spec.stride) for spec in network.backbone.specs] == [
        ("feature_4", 16),
        ("feature_3", 16),
    ]
    images = torch.randn(2, 3, 65, 65)
    label_maps = torch.randint(3, (2, 65, 65), dtype=torch.uint8)
    terms = segmentation.build_loss(config)(network(images), label_maps)
    require_gradients(network, terms.total)
    other = segmentation.build_other_stride(config, 3)
    assert other is not None
    assert other(network, images).class_logits.shape == (2, 3, 9, 9)


def test_builders_refuse_in_one_line() -> None:
    def section(name: str) -> Any:
        return tiny.config_of(Path("data"), *overrides(name)).backbone

    for name, message in {
        "mobilenetv4": "near are mobilenetv4_conv_",
        "ghostnetv2_100": "ghostnetv2_100 has no output_stride 16 in timm; it runs at 32",
        "vit_tiny_patch16_224": "runs at few input sizes only",
    }.items():
        with pytest.raises(UserError, match=message) as caught:
            build_backbone(section(name), ["feature_3"], 16)
        assert str(caught.value).startswith(f"backbone.name=timm/{name}: ")
        assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="timm's models are not built here; take one of mobilenet"):
        build_classifier(section("test_resnet"))
