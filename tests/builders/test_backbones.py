from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from torch import nn

from mnv2_dense import builders
from mnv2_dense.builders.backbones import (
    BACKBONES,
    build_backbone,
    build_classifier,
    default_taps,
    norm_options,
)
from mnv2_dense.config.loader import load_config
from mnv2_dense.config.schema import Config, DetectionConfig, SegmentationConfig
from mnv2_dense.config.sections import WIDTHS, Backbone, BackboneName
from mnv2_dense.errors import UserError
from mnv2_dense.ops.count import count_layers, sum_layers
from mnv2_dense.structures import ImageSize
from tests.commands.tiny import ASPP_CONFIG, COCO_CONFIG, config_of, segmentation_config_of

NOWHERE = Path("data")
NAMES = sorted(get_args(BackboneName))
V1 = "backbone.name=mobilenet_v1"
# What a train step is tried with: the other network, and the ablations of Figure 6.
VARIANTS: dict[str, tuple[str, ...]] = {
    "mobilenet_v1": (V1, "backbone.width_mult=0.25"),
    "not linear": ("backbone.linear_bottleneck=false",),
    "no shortcut": ("backbone.shortcut=none",),
    "shortcut between expansions": ("backbone.shortcut=expansion", "backbone.width_mult=0.25"),
    **{f"factor {t}": (f"backbone.expansion={t}",) for t in (1, 2, 3)},
}


def shapes_of(backbone: Backbone, tap: str | None = None, stride: int | None = None) -> Any:
    with torch.device("meta"):
        return build_backbone(backbone, [tap or default_taps(backbone).segmentation], stride)


def norms(network: nn.Module) -> set[tuple[float, float | None]]:
    layers = [each for each in network.modules() if isinstance(each, nn.BatchNorm2d)]
    return {(layer.eps, layer.momentum) for layer in layers}


def test_every_name_of_the_schema_is_a_network() -> None:
    assert sorted(BACKBONES) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_width_and_stride_builds_with_its_own_taps(name: str) -> None:
    for width in WIDTHS.get(name, (0.35, 1.0)):
        config = Backbone.model_validate({"name": name, "width_mult": width})
        taps = default_taps(config)
        fine, coarse = (shapes_of(config, tap).specs[0] for tap in taps.detection)
        assert (fine.stride, coarse.stride) == (16, 32)
        assert shapes_of(config, taps.low_level).specs[0].stride == 8
        assert shapes_of(config, taps.auxiliary).specs[0].stride <= 16
        assert shapes_of(config, taps.classification).specs[0].stride == 32
    for stride in (8, 16, 32):
        config = Backbone.model_validate({"name": name, "output_stride": stride})
        assert shapes_of(config).specs[0].stride == stride
        assert shapes_of(Backbone.model_validate({"name": name}), None, stride) is not None


@pytest.mark.parametrize("name", NAMES)
def test_epsilon_is_the_releases_unless_it_is_given(name: str) -> None:
    assert norms(shapes_of(Backbone.model_validate({"name": name}))) == {(0.001, 0.03)}
    given = {"name": name, "norm_epsilon": 0.5, "norm_momentum": 0.2}
    assert norms(shapes_of(Backbone.model_validate(given))) == {(0.5, 0.2)}


def test_heads_have_the_norms_of_their_backbone() -> None:
    assert norm_options(Backbone()) == {"norm_epsilon": 0.001, "norm_momentum": 0.03}
    detector = builders.build_network(config_of(NOWHERE, "backbone.norm_epsilon=0.25"), 2)
    assert norms(detector.head) == norms(detector.backbone) == {(0.25, 0.1)}


@pytest.mark.parametrize(("stride", "cells"), [(None, 5), (8, 9), (32, 3)])
def test_backbone_of_a_config_at_its_or_another_stride(stride: int | None, cells: int) -> None:
    config = segmentation_config_of(NOWHERE).backbone
    backbone = build_backbone(config, ["block_16"], stride).eval()
    assert backbone(torch.zeros(1, 3, 65, 65))["block_16"].shape[2:] == (cells, cells)


@pytest.mark.parametrize("name", NAMES)
def test_padding_reaches_the_network(name: str) -> None:
    torch.manual_seed(0)
    images, paddings = torch.randn(1, 3, 32, 32), ("symmetric", "same")
    configs = [Backbone.model_validate({"name": name, "padding": each}) for each in paddings]
    tap = default_taps(configs[0]).low_level
    one, other = (build_backbone(config, [tap]) for config in configs)
    other.load_state_dict(one.state_dict())
    assert not torch.allclose(one(images)[tap], other(images)[tap], atol=0.01)


@pytest.mark.parametrize("linear", [True, False])
@pytest.mark.parametrize("shortcut", ["bottleneck", "expansion", "none"])
@pytest.mark.parametrize("expansion", [1, 3])
def test_ablations_reach_the_blocks(linear: bool, shortcut: str, expansion: int) -> None:
    config = Backbone.model_validate(
        {"linear_bottleneck": linear, "shortcut": shortcut, "expansion": expansion}
    )
    block = shapes_of(config).blocks[2]
    assert block.shortcut == shortcut
    assert any(isinstance(layer, nn.ReLU6) for layer in block.project) != linear
    assert block.depthwise[0].in_channels == 24 * expansion


def test_the_least_channels_reach_the_blocks() -> None:
    config = {"width_mult": 0.5, "min_channels": 32}
    network = shapes_of(Backbone.model_validate(config))
    assert [block.project[0].out_channels for block in network.blocks[:7]] == [32] * 7
    assert network.stem[0].out_channels == 32


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            (V1, "head.taps=[block_16]"),
            "head.taps: unknown taps ['block_16']; mobilenet_v1 has Conv2d_0 to Conv2d_13",
        ),
        (
            ("head.taps=[block_17, last]",),
            "head.taps: unknown taps ['block_17']; mobilenet_v2 has stem, "
            "block_0 to block_16, block_1_expansion to block_16_expansion, last",
        ),
    ],
)
def test_an_unknown_tap_is_one_line_that_lists_the_taps(
    overrides: tuple[str, ...], message: str
) -> None:
    with pytest.raises(UserError) as caught:
        builders.build_network(config_of(NOWHERE, *overrides), 2)
    assert str(caught.value) == message


@pytest.mark.parametrize("name", NAMES)
def test_every_network_lists_its_taps(name: str) -> None:
    config = segmentation_config_of(
        NOWHERE, "head.tap=nowhere", f"backbone.name={name}", "backbone.width_mult=1.0"
    )
    with pytest.raises(UserError) as caught:
        builders.build_network(config, 2)
    message = str(caught.value)
    assert message.startswith(f"head.tap: unknown taps ['nowhere']; {name} has ")
    assert default_taps(config.backbone).classification in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("overrides", "parameters"),
    [({}, 3_504_872), ({"width_mult": 1.4}, 6_108_776), ({"name": "mobilenet_v1"}, 4_231_976)],
)
def test_classifier_of_a_config(overrides: dict[str, Any], parameters: int) -> None:
    with torch.device("meta"):
        classifier = build_classifier(Backbone.model_validate({"output_stride": 16, **overrides}))
    assert sum(parameter.numel() for parameter in classifier.parameters()) == parameters
    assert classifier.backbone.specs[-1].stride == 32  # the weights' own, whatever a config says


# Models of timm


def timm(name: str, **keys: Any) -> Backbone:
    return Backbone.model_validate({"name": f"timm/{name}", **keys})


def test_a_model_of_timm_keeps_its_own_epsilon() -> None:
    own = norms(shapes_of(timm("test_efficientnet", norm_momentum=0.2)))
    assert own == {(1e-5, 0.2)}
    assert norms(shapes_of(timm("test_efficientnet", norm_epsilon=0.5))) == {(0.5, 0.03)}
    assert norm_options(timm("test_efficientnet"))["norm_epsilon"] == 0.001  # the head's


def test_what_timm_lacks_is_one_line() -> None:
    with pytest.raises(
        UserError, match=r"^backbone\.name=timm/test_efficientne: .*test_efficientnet"
    ):
        default_taps(timm("test_efficientne"))
    with pytest.raises(UserError, match=r"unknown taps.*feature_0") as caught:
        shapes_of(timm("test_efficientnet"), "last")
    assert "\n" not in str(caught.value)


def test_a_model_of_timm_is_no_classifier_here() -> None:
    with pytest.raises(UserError, match="take one of mobilenet_v2, mobilenet_v1"):
        build_classifier(timm("test_efficientnet"))


# The paper's networks on MobileNetV1, and what trains


def test_ssdlite_on_mobilenet_v1_is_the_papers() -> None:
    """Table 6's second row but one: 5.1M, 1.3B; 80 classes at 320."""
    config = load_config(COCO_CONFIG, [V1])
    with torch.device("meta"):
        total = sum_layers(count_layers(builders.build_network(config, 80), ImageSize(320, 320)))
    assert (total.parameters, total.multiply_adds) == (5_100_661, 1_309_162_944)


@pytest.mark.parametrize(
    ("stride", "multiply_adds", "space_to_batch"),
    [(16, 12_760_886_976, 14_226_627_264), (8, 46_400_483_008, None)],
)
def test_deeplab_on_mobilenet_v1_is_the_papers(
    stride: int, multiply_adds: int, space_to_batch: int | None
) -> None:
    """Table 7's first rows: 11.15M and, as space-to-batch runs it, 14.25B; 21 classes at 513."""
    config = load_config(ASPP_CONFIG, [V1, f"backbone.output_stride={stride}"])
    with torch.device("meta"):
        total = sum_layers(count_layers(builders.build_network(config, 21), ImageSize(513, 513)))
    assert (total.parameters, total.multiply_adds) == (11_145_301, multiply_adds)
    assert space_to_batch in {None, total.space_to_batch}


@pytest.mark.parametrize("make", [config_of, segmentation_config_of])
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_trains_under_both_heads(make: Any, variant: str) -> None:
    torch.manual_seed(0)
    config: Config = make(NOWHERE, *VARIANTS[variant])
    assert isinstance(config, DetectionConfig | SegmentationConfig)
    network = builders.build_network(config, 3)
    outputs = network(torch.randn(2, 3, 96, 96))
    torch.stack([each.square().mean() for each in outputs if each is not None]).sum().backward()
    gradients = {name: p.grad for name, p in network.named_parameters()}
    assert [name for name, grad in gradients.items() if grad is None] == []
    assert all(grad.isfinite().all() for grad in gradients.values() if grad is not None)
    assert any(
        grad.any() for name, grad in gradients.items() if "stem" in name and grad is not None
    )


def test_deeplab_on_mobilenet_v1_evaluates_at_another_stride() -> None:
    config = segmentation_config_of(
        NOWHERE, V1, "backbone.width_mult=0.25", "evaluation.output_stride=8"
    )
    network = builders.build_network(config, 3).eval()
    other = builders.segmentation.build_other_stride(config, 3)
    assert other is not None
    images = torch.randn(1, 3, 65, 65)
    with torch.no_grad():
        coarse = network(images).class_logits
    fine = other(network, images).class_logits
    assert (coarse.shape, fine.shape) == ((1, 3, 5, 5), (1, 3, 9, 9))
    assert fine.isfinite().all()
