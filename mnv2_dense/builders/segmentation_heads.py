"""The heads of a segmenter, out of a config."""

from collections.abc import Sequence
from typing import Any

from torch import nn

from mnv2_dense.builders.backbones import norm_options
from mnv2_dense.config.schema import SegmentationConfig
from mnv2_dense.errors import UserError
from mnv2_dense.segmentation.head import DeepLabV3Head, FCNHead
from mnv2_dense.segmentation.lraspp import LRASPPHead
from mnv2_dense.segmentation.network import MainHead
from mnv2_dense.structures import FeatureSpec

DEEPLAB_CHANNELS = 256
"""Channels of DeepLabv3's branches (arXiv 1706.05587, section 3.3)."""
LRASPP_CHANNELS = 128
"""Channels of Lite R-ASPP's gated layer (arXiv 1905.02244, Figure 10)."""

_ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "relu6": nn.ReLU6}


def build_heads(
    config: SegmentationConfig, specs: Sequence[FeatureSpec], num_classes: int
) -> tuple[MainHead, FCNHead | None]:
    """The head that predicts, and the auxiliary one where the config has it.

    Args:
        config: What to build.
        specs: The maps they read: one, or Lite R-ASPP's two, and the auxiliary head's last.
        num_classes: Length of the logits.

    Raises:
        UserError: Lite R-ASPP's second map is coarser than the first.
    """
    head = config.head
    momentum = head.norm_momentum or norm_options(config.backbone)["norm_momentum"]
    options: dict[str, Any] = {
        "dropout": head.dropout,
        "norm_epsilon": head.norm_epsilon,
        "norm_momentum": momentum,
        "activation": _ACTIVATIONS[head.activation],
    }
    build = _build_deeplabv3 if head.name == "deeplabv3" else _build_lraspp
    main = build(config, specs, num_classes, options)
    return main, FCNHead(specs[-1], num_classes, **options) if head.auxiliary else None


def _build_deeplabv3(
    config: SegmentationConfig,
    specs: Sequence[FeatureSpec],
    num_classes: int,
    options: dict[str, Any],
) -> DeepLabV3Head:
    return DeepLabV3Head(
        specs[0],
        num_classes,
        aspp=config.head.aspp,
        atrous_rates=config.head.atrous_rates,
        channels=config.head.channels or DEEPLAB_CHANNELS,
        **options,
    )


def _build_lraspp(
    config: SegmentationConfig,
    specs: Sequence[FeatureSpec],
    num_classes: int,
    options: dict[str, Any],
) -> LRASPPHead:
    try:
        return LRASPPHead(
            specs[0],
            specs[1],
            num_classes,
            channels=config.head.channels or LRASPP_CHANNELS,
            align_corners=config.head.align_corners,
            **options,
        )
    except ValueError as error:
        raise UserError(f"head.low_level_tap: {error}") from error
