from pathlib import Path
from typing import Any

import pytest
import yaml

from mnv2_dense.backbone.shufflenet_v1 import STEM_CHANNELS
from mnv2_dense.config.loader import (
    load_any_config,
    parse_any_config,
    parse_config,
    to_yaml,
)
from mnv2_dense.config.schema import DetectionConfig, SegmentationConfig
from mnv2_dense.config.sections import WIDTHS, Backbone
from mnv2_dense.errors import UserError

ROOT = Path(__file__).parents[2]
CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))
# Sections with every key written out, as runs stored them when there was one backbone.
OLD_BACKBONE = {
    "name": "mobilenet_v2",
    "width_mult": 0.35,
    "output_stride": 16,
    "padding": "symmetric",
    "norm_epsilon": 0.001,
    "norm_momentum": 0.1,
    "weights": "imagenet",
}
OLD_DETECTION_HEAD = {"extra_channels": [128, 64], "width_mult": 1.0}
OLD_SEGMENTATION_HEAD = {
    "tap": "block_16",
    "aspp": "dense",
    "atrous_rates": [6, 12, 18],
    "channels": 256,
    "dropout": 0.1,
    "norm_epsilon": 1e-05,
    "norm_momentum": 0.0003,
    "activation": "relu",
    "align_corners": True,
    "auxiliary": False,
}


def backbone(*overrides: str) -> Backbone:
    return parse_config({}, [f"backbone.{text}" for text in overrides]).backbone


def refusal(*overrides: str) -> str:
    with pytest.raises(UserError) as caught:
        backbone(*overrides)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    "name",
    [
        *("mobilenet_v2", "mobilenet_v1", "shufflenet_v1", "resnet_101"),
        *("timm/mobilenetv4_conv_small", "timm/tf_efficientnet_lite0.in1k", "timm/lcnet_035"),
    ],
)
def test_networks_that_can_be_named(name: str) -> None:
    assert backbone(f"name={name}").name == name


@pytest.mark.parametrize("name", ["resnet", "timm", "timm/", "timm/a b", "timm/../a", "xtimm/a"])
def test_an_unknown_network_is_one_line_that_lists_what_exists(name: str) -> None:
    assert refusal(f"name={name}") == (
        f'stored config: override 1 (backbone.name={name}): backbone.name cannot be "{name}"; '
        "allowed: one of mobilenet_v2, mobilenet_v1, shufflenet_v1, resnet_101 or timm/NAME"
    )


@pytest.mark.parametrize(
    ("name", "widths"),
    [
        ("shufflenet_v1", [0.5, 1, 1.5, 2]),
        ("resnet_101", [1]),
        ("timm/lcnet_035", [1]),
        ("mobilenet_v1", [0.25, 1, 1.37]),
        ("mobilenet_v2", [0.35, 1.4, 0.62]),
    ],
)
def test_widths_that_exist(name: str, widths: list[float]) -> None:
    for width in widths:
        assert backbone(f"name={name}", f"width_mult={width}").width_mult == width


@pytest.mark.parametrize(
    ("name", "width", "known"),
    [
        ("shufflenet_v1", 0.75, "0.5, 1, 1.5, 2"),
        ("resnet_101", 0.5, "1"),
        ("timm/lcnet_035", 0.35, "1"),
    ],
)
def test_a_width_that_does_not_exist_is_told_with_those_that_do(
    name: str, width: float, known: str
) -> None:
    message = refusal(f"name={name}", f"width_mult={width}")
    assert message == f"stored config: backbone: {name} has no width_mult {width}; it has {known}"


def test_widths_are_those_of_the_networks() -> None:
    """They are written twice because a config is read without torch."""
    assert WIDTHS["shufflenet_v1"] == tuple(STEM_CHANNELS)


@pytest.mark.parametrize("width", ["0", "-1", "8.5", "wide"])
def test_no_network_has_such_a_width(width: str) -> None:
    assert "backbone.width_mult cannot be" in refusal(f"width_mult={width}")


VARIANTS = (
    *("expansion=3", "min_channels=16", "channel_divisor=1", "last_channels=640"),
    *("first_shortcut=false", "linear_bottleneck=false", "shortcut=none"),
)


@pytest.mark.parametrize("variant", VARIANTS)
def test_variants_are_mobilenet_v2s(variant: str) -> None:
    key = variant.partition("=")[0]
    assert getattr(backbone(variant), key) != getattr(Backbone(), key)
    for name in ("mobilenet_v1", "shufflenet_v1", "resnet_101", "timm/lcnet_035"):
        assert refusal(f"name={name}", variant) == (
            f"stored config: backbone: {key} is a key of mobilenet_v2; {name} has no such layers"
        )


def test_variants_at_their_own_values_are_no_mistake() -> None:
    own = (
        *("expansion=6", "min_channels=8", "channel_divisor=8", "last_channels=null"),
        *("first_shortcut=true", "linear_bottleneck=true", "shortcut=bottleneck"),
    )
    assert backbone("name=mobilenet_v1", *own) == Backbone(name="mobilenet_v1")


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("expansion=0", "a whole number from 1 to 64"),
        ("expansion=2.5", "a whole number from 1 to 64"),
        ("min_channels=0", "a whole number from 1 to 1024"),
        ("min_channels=1025", "a whole number from 1 to 1024"),
        ("channel_divisor=0", "a whole number from 1 to 1024"),
        ("channel_divisor=2.5", "a whole number from 1 to 1024"),
        ("last_channels=0", "a whole number from 1 to 65536 or null"),
        ("last_channels=65537", "a whole number from 1 to 65536 or null"),
        ("first_shortcut=1", "true or false"),
        ("shortcut=both", "one of bottleneck, expansion, none"),
        ("linear_bottleneck=relu6", "true or false"),
        ("output_stride=4", "one of 8, 16, 32"),
        ("norm_epsilon=0", "a number above 0 or null"),
        ("padding=valid", "one of symmetric, same"),
    ],
)
def test_what_a_backbone_may_hold(override: str, words: str) -> None:
    assert refusal(override).endswith(f"allowed: {words}")


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("input.resize=nearest", "input.resize cannot be"),
        ("decode.nms=fast", "allowed: one of per_class, across_classes"),
    ],
)
def test_what_a_detector_may_hold(override: str, words: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_config({}, [override])
    assert words in str(caught.value)


def test_only_detectors_choose_how_pictures_are_resized() -> None:
    detector = parse_config({}, ["input.resize=legacy_bilinear"])
    assert isinstance(detector, DetectionConfig)
    assert detector.input.resize == "legacy_bilinear"
    with pytest.raises(UserError, match=r"input\.resize is no known key"):
        parse_config({}, ["task=segmentation", "input.resize=legacy_bilinear"])


def test_timm_models_have_their_own_padding() -> None:
    assert "padding cannot be changed in timm models" in refusal("name=timm/a", "padding=same")
    for name in ("mobilenet_v1", "shufflenet_v1", "resnet_101"):
        assert backbone(f"name={name}", "padding=same").padding == "same"


def test_what_old_runs_stored_still_loads() -> None:
    old = parse_config({"backbone": OLD_BACKBONE, "head": OLD_DETECTION_HEAD})
    assert isinstance(old, DetectionConfig)
    assert (old.backbone.norm_epsilon, old.backbone.weights) == (0.001, "imagenet")
    assert (old.backbone.min_channels, old.input.resize, old.decode.nms) == (
        *(8, "bilinear", "per_class"),
    )
    assert (old.head.name, old.head.taps) == ("ssdlite", None)
    assert old.evaluation.backend == "mnv2_dense"
    old = parse_config(
        {"task": "segmentation", "backbone": OLD_BACKBONE, "head": OLD_SEGMENTATION_HEAD}
    )
    assert isinstance(old, SegmentationConfig)
    assert (old.head.name, old.head.tap, old.head.channels) == ("deeplabv3", "block_16", 256)
    for config in (old.backbone, parse_config({}).backbone):
        paper: tuple[Any, ...] = (config.expansion, config.linear_bottleneck, config.shortcut)
        assert paper == (6, True, "bottleneck")


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
@pytest.mark.parametrize(
    "overrides",
    [
        (),
        ("backbone.name=mobilenet_v1",),
        ("backbone.name=timm/mobilenetv4_conv_small", "backbone.width_mult=1.0"),
        (*(f"backbone.{variant}" for variant in VARIANTS), "backbone.norm_epsilon=null"),
    ],
    ids=["as it is", "mobilenet_v1", "timm", "variants"],
)
def test_every_config_survives_being_printed(path: Path, overrides: tuple[str, ...]) -> None:
    config = load_any_config(path, overrides)
    text = to_yaml(config)
    assert parse_any_config(yaml.safe_load(text)) == config
    for text_of_key in overrides:
        assert f"{text_of_key.removeprefix('backbone.').replace('=', ': ')}\n" in text
