"""This project's MobileNetV2 in torchvision's: the same values, computing the same.

Weights of TensorFlow know SAME padding and another epsilon than torchvision's layers. Both are
brought to the peer's network too, or it would start from features a pixel beside its own.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from mnv2_dense.backbone.blocks import SamePadConv2d
from mnv2_dense.backbone.mobilenet_v2 import MobileNetV2
from mnv2_dense.backbone.weights import from_torchvision, load_backbone
from mnv2_dense.builders.opening import read_card
from mnv2_dense.errors import UserError
from mnv2_dense.ops.checkpoint_file import read_checkpoint


class InitialWeights(NamedTuple):
    """A trained MobileNetV2, and what it was trained with.

    `mean` and `std` are of RGB values 0-255.
    """

    path: Path
    backbone: MobileNetV2
    padding: str
    epsilon: float
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def overrides(self) -> list[str]:
        """What the product's config needs to begin with them."""
        return [
            f"backbone.weights={self.path}",
            f"backbone.padding={self.padding}",
            f"backbone.norm_epsilon={self.epsilon}",
            f"input.mean={list(self.mean)}",
            f"input.std={list(self.std)}",
        ]


def read_weights(path: Path) -> InitialWeights:
    """A classifier that tools/import_weights.py made.

    Raises:
        UserError: The file is none, or not of a MobileNetV2 of width 1.0.
    """
    stored, _ = read_card(read_checkpoint(path), path, classifier=True)
    try:
        backbone, image = dict(stored["backbone"]), stored["input"]
        settings = (backbone["padding"], float(backbone["norm_epsilon"]))
        normalisation = (tuple(image["mean"]), tuple(image["std"]))
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"--weights {path}: does not say its padding, epsilon and normalisation; give a "
            "checkpoint of tools/import_weights.py"
        ) from error
    padding, epsilon = settings
    network = MobileNetV2(("last",), padding=padding, norm_epsilon=epsilon)
    load_backbone(network, str(path))
    return InitialWeights(path, network.eval(), padding, epsilon, *normalisation)


def begin_with(network: nn.Module, weights: InitialWeights) -> None:
    """Gives a network with torchvision's MobileNetV2 in it the weights and their geometry.

    Args:
        network: Its `features` are torchvision's, at any output stride.
        weights: What it begins with.
    """
    copy_backbone(weights.backbone, network)
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.eps = weights.epsilon
    if weights.padding == "same":
        pad_as_tensorflow(network)


@torch.no_grad()
def copy_backbone(source: MobileNetV2, target: nn.Module) -> None:
    """Copies every value of `target.features`, of torchvision's names, from ours."""
    values = source.state_dict()
    features = {n: t for n, t in target.state_dict().items() if n.startswith("features.")}
    for name, tensor in from_torchvision(features).items():
        tensor.copy_(values[name])  # a state dict shares its memory with the network


def pad_as_tensorflow(network: nn.Module) -> None:
    """Replaces the padding of strided convolutions; at stride 1 it is symmetric in both."""
    for parent, name, conv in list(_strided(network)):
        keys = ("in_channels", "out_channels", "kernel_size", "stride", "groups", "dilation")
        options: dict[str, Any] = {key: getattr(conv, key) for key in keys}
        same = SamePadConv2d(**options, bias=False)
        same.weight = conv.weight
        setattr(parent, name, same)


def _strided(network: nn.Module) -> Iterator[tuple[nn.Module, str, nn.Conv2d]]:
    for parent in network.modules():
        for name, layer in parent.named_children():
            if isinstance(layer, nn.Conv2d) and max(layer.stride) > 1:
                yield parent, name, layer
