from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import MobileNetV2 as TheirNetwork
from torchvision.models import mobilenet_v2

from mnv2_dense.backbone.blocks import SamePadConv2d
from mnv2_dense.backbone.classifier import Classifier
from mnv2_dense.backbone.mobilenet_v2 import SSD_TAPS, MobileNetV2
from mnv2_dense.errors import UserError
from mnv2_dense.training.checkpoint_io import CARD
from tools.compare.detection_peers import MobileNetV2Levels
from tools.compare.initial_weights import (
    InitialWeights,
    begin_with,
    pad_as_tensorflow,
    read_weights,
)

SIDE = 64  # even, so that SAME and symmetric padding differ


def trained(padding: Any = "same", epsilon: float = 0.001) -> MobileNetV2:
    """A backbone whose batch norms have statistics of their own."""
    torch.manual_seed(0)
    network = MobileNetV2(SSD_TAPS, padding=padding, norm_epsilon=epsilon)
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.uniform_(norm.weight, 0.5, 1.5)
            values = dict(norm.named_buffers())
            values["running_mean"].uniform_(-0.1, 0.1)
            values["running_var"].uniform_(0.01, 1)
    return network.eval()


def weights_of(network: MobileNetV2, padding: str = "same") -> InitialWeights:
    return InitialWeights(Path("w.ckpt"), network, padding, 0.001, (128.0,) * 3, (128.0,) * 3)


def features_of(network: TheirNetwork, image: Tensor) -> list[Tensor]:
    with torch.no_grad():
        return list(MobileNetV2Levels(network.features).eval()(image).values())[:2]


@pytest.mark.parametrize("padding", ["same", "symmetric"])
def test_both_networks_compute_the_same_features(padding: Any) -> None:
    ours, theirs = trained(padding), mobilenet_v2()
    begin_with(theirs, weights_of(ours, padding))
    image = torch.rand(1, 3, SIDE, SIDE)
    with torch.no_grad():
        wanted = ours(image)
    for tap, found in zip(SSD_TAPS, features_of(theirs, image), strict=True):
        assert wanted[tap].abs().max() > 0.1
        torch.testing.assert_close(found, wanted[tap], atol=1e-4, rtol=1e-4)


def test_without_their_padding_and_epsilon_the_features_would_be_others() -> None:
    ours, theirs = trained("same"), mobilenet_v2()
    begin_with(theirs, weights_of(ours, "symmetric"))
    image = torch.rand(1, 3, SIDE, SIDE)
    with torch.no_grad():
        wanted = ours(image)["last"]
    assert (features_of(theirs, image)[1] - wanted).abs().max() > 0.01


def test_dilated_layers_keep_their_dilation() -> None:
    dilated = nn.Conv2d(8, 8, 3, padding=2, dilation=2, groups=8, bias=False)
    network = nn.Sequential(mobilenet_v2().features, dilated)
    pad_as_tensorflow(network)
    assert network[1] is dilated
    strided = [m for m in network.modules() if isinstance(m, nn.Conv2d) and max(m.stride) > 1]
    assert len(strided) == 5
    assert all(isinstance(layer, SamePadConv2d) for layer in strided)


def save(path: Path, network: MobileNetV2, **config: Any) -> Path:
    stored = {"task": "classification", **config}
    state = Classifier(network, 3).state_dict()
    torch.save({"state_dict": state, CARD: {"config": stored, "categories": []}}, path)
    return path


def test_an_imported_classifier_says_how_it_was_trained(tmp_path: Path) -> None:
    network = trained()
    backbone = {"padding": "same", "norm_epsilon": 0.001}
    image = {"mean": [1.0, 2.0, 3.0], "std": [4.0, 5.0, 6.0]}
    path = save(tmp_path / "w.ckpt", network, backbone=backbone, input=image)
    weights = read_weights(path)
    assert weights.overrides == [
        f"backbone.weights={path}",
        "backbone.padding=same",
        "backbone.norm_epsilon=0.001",
        "input.mean=[1.0, 2.0, 3.0]",
        "input.std=[4.0, 5.0, 6.0]",
    ]
    for name, values in weights.backbone.state_dict().items():
        assert torch.equal(values, network.state_dict()[name]), name


def test_weights_that_do_not_say_it_are_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "w.ckpt", trained(), backbone={"padding": "same"})
    with pytest.raises(UserError, match="does not say its padding, epsilon and normalisation"):
        read_weights(path)
