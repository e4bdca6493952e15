"""The detectors of torchvision that this project is compared with."""

from collections import OrderedDict
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models import mobilenet_v2
from torchvision.models.detection import ssdlite320_mobilenet_v3_large
from torchvision.models.detection.anchor_utils import DefaultBoxGenerator
from torchvision.models.detection.ssd import SSD, SSDHead
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.ops import Conv2dNormActivation

from mnv2_dense.structures import Detections
from tools.compare.initial_weights import InitialWeights, begin_with

MAX_DETECTIONS = 100
"""What COCO evaluates; torchvision's keep 300."""
EXTRA_CHANNELS = (512, 256, 256, 128)
_NORM = partial(nn.BatchNorm2d, eps=0.001, momentum=0.03)
"""As in torchvision's ssdlite320."""
_OPTIONS: dict[str, Any] = {
    "image_mean": [0.5] * 3,
    "image_std": [0.5] * 3,
    "score_thresh": 0.001,
    "nms_thresh": 0.55,
    "detections_per_img": 300,
    "topk_candidates": 300,
}
"""Normalisation and decoding of torchvision's ssdlite320, for all its networks here."""


class MobileNetV2Levels(nn.Module):
    """SSD's maps on torchvision's MobileNetV2: two of the backbone, and four with strides of 2.

    torchvision has such a module for MobileNetV3 alone. The maps are those of this project: the
    expansion of the first stride-32 block, the last layer, and extra levels of plain convolutions
    (1x1 to half the channels, 3x3 of stride 2), as in SSD.

    Args:
        features: Of torchvision's `mobilenet_v2`.
    """

    def __init__(self, features: nn.Module) -> None:
        super().__init__()
        blocks: list[Any] = list(features.children())
        expansion, *rest = blocks[14].conv
        self.features = nn.Sequential(
            nn.Sequential(*blocks[:14], expansion), nn.Sequential(*rest, *blocks[15:])
        )
        layer: dict[str, Any] = {"norm_layer": _NORM, "activation_layer": nn.ReLU6}
        before: Sequence[int] = (1280, *EXTRA_CHANNELS[:-1])
        self.extra = nn.ModuleList(
            nn.Sequential(
                Conv2dNormActivation(given, channels // 2, 1, **layer),
                Conv2dNormActivation(channels // 2, channels, 3, stride=2, **layer),
            )
            for given, channels in zip(before, EXTRA_CHANNELS, strict=True)
        )
        self.out_channels = [576, 1280, *EXTRA_CHANNELS]

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Six maps by number, finest first."""
        maps: OrderedDict[str, Tensor] = OrderedDict()
        for number, level in enumerate((*self.features, *self.extra)):
            images = level(images)
            maps[str(number)] = images
        return maps


def build_ssdlite(num_classes: int, size: int, weights: InitialWeights | None) -> SSD:
    """Torchvision's ssdlite320_mobilenet_v3_large, at any input size, from random weights."""
    assert weights is None, "there are no such weights of MobileNetV3"
    network = ssdlite320_mobilenet_v3_large(
        weights=None, weights_backbone=None, num_classes=num_classes + 1
    )
    assert isinstance(network, SSD)
    # Its anchors are shares of the input, so another size needs no other anchors.
    network.transform = _preparation(size, _OPTIONS["image_mean"], _OPTIONS["image_std"])
    return network


def build_ssd(num_classes: int, size: int, weights: InitialWeights | None) -> SSD:
    """Torchvision's `SSD` with its plain head, on torchvision's MobileNetV2."""
    classifier = mobilenet_v2(norm_layer=_NORM)
    options = dict(_OPTIONS)
    if weights is not None:
        begin_with(classifier, weights)
        options["image_mean"] = [value / 255 for value in weights.mean]
        options["image_std"] = [value / 255 for value in weights.std]
    levels = MobileNetV2Levels(classifier.features)
    anchors = DefaultBoxGenerator([[2, 3]] * 6, min_ratio=0.2, max_ratio=0.95)
    head = SSDHead(levels.out_channels, anchors.num_anchors_per_location(), num_classes + 1)
    return SSD(levels, anchors, (size, size), num_classes + 1, head=head, **options)


def _preparation(
    size: int, mean: Sequence[float], std: Sequence[float]
) -> GeneralizedRCNNTransform:
    return GeneralizedRCNNTransform(
        size, size, list(mean), list(std), size_divisible=1, fixed_size=(size, size)
    )


class RawNetwork(nn.Module):
    """Backbone and head of a detector, which take a batch of images of one size, to be counted."""

    def __init__(self, network: SSD) -> None:
        super().__init__()
        self.backbone, self.head = network.backbone, network.head

    def forward(self, images: Tensor) -> Any:
        """Raw predictions."""
        return self.head(list(self.backbone(images).values()))


@torch.no_grad()
def detect(network: SSD, image: Tensor) -> Detections:
    """The best detections in a picture [3, H, W] uint8 RGB, in its pixels."""
    (found,) = network([image / 255])
    boxes, scores, labels = (found[key][:MAX_DETECTIONS] for key in ("boxes", "scores", "labels"))
    return Detections(boxes, scores, labels - 1)  # theirs count the background


PEERS = {
    "torchvision_ssd_mobilenet_v2": build_ssd,
    "torchvision_ssdlite320_mobilenet_v3_large": build_ssdlite,
}
MOBILENET_V2 = ("torchvision_ssd_mobilenet_v2",)
"""Those whose backbone can begin with weights of a MobileNetV2."""
