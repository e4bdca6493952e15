"""The segmenters that this project is compared with, as networks of its task.

Both come at output stride 16, as this project's. Theirs is the library's own code throughout; what
is added here is the form of the outputs.
"""

import importlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from torch import Tensor, nn
from torchvision.models.segmentation import deeplabv3_mobilenet_v3_large

from mnv2_dense.errors import UserError
from mnv2_dense.segmentation.network import SegmenterOutputs
from tools.compare.initial_weights import InitialWeights, begin_with

OUTPUT_STRIDE = 16
AUXILIARY = "aux_classifier"
"""Torchvision's name of the head that serves training alone."""
ATROUS_RATES = (6, 12, 18)
"""DeepLabv3's rates at output stride 16; smp's default (12, 24, 36) is made for its stride 8."""


class SegmentationPeer(nn.Module):
    """A segmenter of another library.

    Args:
        network: The library's; its logits have the size of the image.
        weight_decay: Of its reference recipe.
    """

    def __init__(self, network: nn.Module, weight_decay: float) -> None:
        super().__init__()
        self.network = network
        self.weight_decay = weight_decay

    def forward(self, images: Tensor) -> SegmenterOutputs:
        """Predictions for images [B, 3, H, W] (normalised RGB)."""
        outputs: Any = self.network(images)
        if isinstance(outputs, Mapping):
            return SegmenterOutputs(outputs["out"], outputs.get("aux") if self.training else None)
        return SegmenterOutputs(outputs)

    def groups(self, rate: float) -> Iterator[dict[str, Any]]:
        """Parameter groups of the reference recipe: the auxiliary head learns ten times as fast."""
        named = list(self.network.named_parameters())
        fast = [values for name, values in named if name.startswith(AUXILIARY)]
        rest = [values for name, values in named if not name.startswith(AUXILIARY)]
        yield {"params": rest, "lr": rate}
        if fast:
            yield {"params": fast, "lr": 10 * rate}

    def drop_auxiliary(self) -> None:
        """Removes what serves training alone, as it is deployed and counted."""
        if hasattr(self.network, AUXILIARY):
            setattr(self.network, AUXILIARY, None)


def build_smp(num_classes: int, weights: InitialWeights | None) -> SegmentationPeer:
    """segmentation_models.pytorch's DeepLabV3 on MobileNetV2.

    Raises:
        UserError: It is not installed.
    """
    try:
        smp: Any = importlib.import_module("segmentation_models_pytorch")
    except ImportError as error:
        raise UserError(
            f"segmentation_models.pytorch is needed for this network ({error}); pip install "
            "'mnv2-dense[compare]'"
        ) from error
    network = smp.DeepLabV3(
        "mobilenet_v2",
        encoder_weights=None,
        encoder_output_stride=OUTPUT_STRIDE,
        decoder_atrous_rates=ATROUS_RATES,
        classes=num_classes,
    )
    if weights is not None:
        begin_with(network.encoder, weights)
    # smp has no recipe of its own: torchvision's, with that script's default decay.
    return SegmentationPeer(network, weight_decay=1e-4)


def build_torchvision(num_classes: int, weights: InitialWeights | None) -> SegmentationPeer:
    """Torchvision's deeplabv3_mobilenet_v3_large, from random weights."""
    assert weights is None, "there are no such weights of MobileNetV3"
    network = deeplabv3_mobilenet_v3_large(
        weights=None, weights_backbone=None, num_classes=num_classes, aux_loss=True
    )
    return SegmentationPeer(network, weight_decay=1e-6)


class PeerKind(NamedTuple):
    """How a peer is built, and whether its backbone is a MobileNetV2."""

    build: Any
    mobilenet_v2: bool


PEERS = {
    "smp_deeplabv3_mobilenet_v2": PeerKind(build_smp, mobilenet_v2=True),
    "torchvision_deeplabv3_mobilenet_v3_large": PeerKind(build_torchvision, mobilenet_v2=False),
}
