"""The backbone that a config names, and the taps that heads read of it."""

from collections.abc import Sequence
from typing import Any

from mnv2_dense.backbone.backbone import Backbone, DefaultTaps, UnknownTapError
from mnv2_dense.backbone.blocks import RELEASE_EPSILON
from mnv2_dense.backbone.classifier import Classifier
from mnv2_dense.backbone.mobilenet_v1 import MobileNetV1
from mnv2_dense.backbone.mobilenet_v2 import MobileNetV2
from mnv2_dense.backbone.resnet import ResNet101
from mnv2_dense.backbone.shufflenet_v1 import ShuffleNetV1
from mnv2_dense.backbone.timm_features import TimmFeatures
from mnv2_dense.backbone.timm_maps import timm_default_taps
from mnv2_dense.config import sections
from mnv2_dense.errors import UserError

BACKBONES: dict[str, type[Backbone]] = {
    "mobilenet_v2": MobileNetV2,
    "mobilenet_v1": MobileNetV1,
    "shufflenet_v1": ShuffleNetV1,
    "resnet_101": ResNet101,
}
OWN_KEYS: dict[str, set[str]] = {
    "mobilenet_v2": {"width_mult", *sections.OWN_KEYS},
    "mobilenet_v1": {"width_mult"},
    "shufflenet_v1": {"width_mult"},
    "resnet_101": set(),
}
"""Keys of the config's section that a network takes beside those that all of them take."""
TIMM = "timm/"
"""How the names of timm's models begin."""


def build_backbone(
    backbone: sections.Backbone,
    taps: Sequence[str],
    output_stride: int | None = None,
    *,
    tap_key: str = "head.taps",
) -> Backbone:
    """A backbone with random weights.

    Args:
        backbone: What to build.
        taps: Names of the maps to return.
        output_stride: None takes the config's.
        tap_key: Where the config names taps, for the message.

    Raises:
        UserError: It has no such tap or output stride; or timm is missing, or has no such model.
    """
    try:
        return _build(backbone, taps, output_stride or backbone.output_stride)
    except UnknownTapError as error:
        raise UserError(f"{tap_key}: {error}") from error
    except ValueError as error:
        raise UserError(f"backbone.name={backbone.name}: {error}") from error


def _build(backbone: sections.Backbone, taps: Sequence[str], output_stride: int) -> Backbone:
    if backbone.name.startswith(TIMM):
        return TimmFeatures(
            backbone.name.removeprefix(TIMM),
            taps,
            output_stride=output_stride,
            norm_epsilon=backbone.norm_epsilon,
            norm_momentum=backbone.norm_momentum,
        )
    options: dict[str, Any] = {
        "output_stride": output_stride,
        "padding": backbone.padding,
        **norm_options(backbone),
        **backbone.model_dump(include=OWN_KEYS[backbone.name]),
    }
    return BACKBONES[backbone.name](taps, **options)


def norm_options(backbone: sections.Backbone) -> dict[str, Any]:
    """Epsilon and momentum of the batch norms, of the backbone's and of those behind it."""
    return {
        "norm_epsilon": backbone.norm_epsilon or RELEASE_EPSILON,
        "norm_momentum": backbone.norm_momentum,
    }


def default_taps(backbone: sections.Backbone) -> DefaultTaps:
    """The taps that heads read of a backbone where the config names none.

    Raises:
        UserError: A timm model that does not exist, or that lacks one of them.
    """
    if not backbone.name.startswith(TIMM):
        return BACKBONES[backbone.name].default_taps
    try:
        return timm_default_taps(backbone.name.removeprefix(TIMM))
    except ValueError as error:
        raise UserError(f"backbone.name={backbone.name}: {error}") from error


def build_classifier(backbone: sections.Backbone, num_classes: int = 1000) -> Classifier:
    """A backbone under the ImageNet classifier, with random weights.

    Raises:
        UserError: A model of timm, whose own classifier has more layers than a linear one.
    """
    if backbone.name.startswith(TIMM):
        raise UserError(
            f"backbone.name={backbone.name}: the classifiers of timm's models are not built here; "
            f"take one of {', '.join(BACKBONES)}"
        )
    tap = default_taps(backbone).classification
    return Classifier(build_backbone(backbone, [tap], output_stride=32), num_classes)
