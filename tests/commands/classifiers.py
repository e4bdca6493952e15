"""Classifiers whose random weights tell pictures apart."""

from typing import Any

import torch
from torch import nn
from torchvision.models import mobilenet_v2

from mnv2_dense.builders.backbones import build_classifier
from mnv2_dense.config.classification import ClassifierConfig

CLASS_NAMES = ("background", "cat", "dog", "bird")


def reference(num_classes: int = 1000, width_mult: float = 1.0) -> Any:
    """Torchvision's, with random weights, and the statistics of a batch of smooth pictures.

    As it is made, the features fade from layer to layer, and every picture has equal scores.
    """
    torch.manual_seed(0)
    network = mobilenet_v2(num_classes=num_classes, width_mult=width_mult)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = 1.0
            nn.init.normal_(layer.bias, 0, 0.5)
            nn.init.uniform_(layer.weight, 0.5, 2)
    nn.init.normal_(network.get_parameter("classifier.1.weight"), 0, 0.1)
    with torch.no_grad():
        network(nn.functional.interpolate(torch.randn(8, 3, 8, 8), (96, 96), mode="bicubic"))
    return network.eval()


def classifier_checkpoint(**changes: Any) -> dict[str, Any]:
    """A checkpoint of a narrow classifier under its own config, whose sections `changes` widen."""
    torch.manual_seed(0)
    config = {
        "name": "tiny",
        "input": {"height": 64, "width": 96, "mean": [127.5] * 3, "std": [127.5] * 3},
        "backbone": {"width_mult": 0.1, "padding": "same", "norm_epsilon": 0.001},
    }
    checked = ClassifierConfig.model_validate({**config, **changes})
    network = build_classifier(checked.backbone, len(CLASS_NAMES))
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.weight, 2, 4)
            nn.init.normal_(layer.bias)
    nn.init.normal_(network.classifier.weight)
    card = {
        "version": "1",
        "config": checked.model_dump(mode="json"),
        "categories": [[number, name] for number, name in enumerate(CLASS_NAMES)],
    }
    return {"state_dict": network.state_dict(), "mnv2_dense": card}
