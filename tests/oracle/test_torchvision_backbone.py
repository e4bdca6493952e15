"""torchvision's MobileNetV2 is the reference for layers, names and arithmetic."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import mobilenet_v2

from mnv2_dense.backbone.classifier import Classifier
from mnv2_dense.backbone.mobilenet_v2 import SSD_TAPS, MobileNetV2
from mnv2_dense.backbone.weights import from_torchvision, load_backbone


def reference(width_mult: float) -> Any:
    """Random weights, and running statistics far from 0 and 1, so that the norms matter."""
    torch.manual_seed(0)
    network = mobilenet_v2(width_mult=width_mult)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean = torch.randn(layer.num_features) * 0.3
            layer.running_var = torch.rand(layer.num_features) * 1.5 + 0.5
            nn.init.uniform_(layer.weight, 0.5, 2)
            nn.init.normal_(layer.bias, 0, 0.3)
    return network.eval()


def classifier_like(network: Any, width_mult: float) -> Classifier:
    ours = Classifier(MobileNetV2(("last",), width_mult=width_mult))
    state = from_torchvision(network.state_dict())
    ours.load_state_dict(
        {k if k.startswith("classifier.") else f"backbone.{k}": v for k, v in state.items()}
    )
    return ours.eval()


@torch.no_grad()
def outputs(theirs: nn.Module, ours: nn.Module, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    images = torch.randn(2, 3, *size)
    return theirs(images), ours(images)


@pytest.mark.parametrize("size", [(224, 224), (65, 97), (33, 32)])
def test_logits_equal_torchvisions(size: tuple[int, int]) -> None:
    theirs = reference(1.0)
    expected, found = outputs(theirs, classifier_like(theirs, 1.0), size)
    assert expected.std() > 1e-2  # a comparison of zeros would prove nothing
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("width_mult", [0.35, 0.5, 1.4])
def test_other_widths_have_torchvisions_layers(width_mult: float) -> None:
    theirs = reference(width_mult)
    expected, found = outputs(theirs, classifier_like(theirs, width_mult), (64, 64))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_ssd_taps_are_torchvisions_layers(tmp_path: Path) -> None:
    theirs = reference(1.0)
    torch.save(theirs.state_dict(), tmp_path / "mobilenet_v2.pth")
    ours = MobileNetV2(SSD_TAPS).eval()
    load_backbone(ours, str(tmp_path / "mobilenet_v2.pth"))
    images = torch.randn(1, 3, 65, 97)
    with torch.no_grad():
        maps = ours(images)
        before = theirs.features[:14](images)
        expansion = theirs.features[14].conv[0](before)
        last = theirs.features(images)
    torch.testing.assert_close(maps["block_13_expansion"], expansion, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(maps["last"], last, rtol=1e-5, atol=1e-5)
