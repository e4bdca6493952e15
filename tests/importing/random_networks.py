"""Networks of random weights, imported from the graphs that the authors would have frozen."""

from collections.abc import Callable
from typing import Any, TypeVar

import pytest
import torch
from torch import Tensor, nn

from mnv2_dense.backbone.classifier import Classifier
from mnv2_dense.builders import build_network
from mnv2_dense.builders.backbones import build_classifier
from mnv2_dense.config.checking import Given, build
from mnv2_dense.config.classification import ClassifierConfig
from mnv2_dense.config.loader import parse_config
from mnv2_dense.detection.network import Detector
from mnv2_dense.errors import UserError
from mnv2_dense.importing.found import Imported
from mnv2_dense.importing.graphdef import graph_from_message
from mnv2_dense.importing.recognition import recognise
from mnv2_dense.segmentation.network import Segmenter

Module = TypeVar("Module", bound=nn.Module)
Network = Classifier | Detector | Segmenter

RELEASE: dict[str, Any] = {"padding": "same", "norm_epsilon": 0.001}
"""Keys of the config's backbone that all of the authors' networks have."""
FILE = "here/frozen.pb"


def detector(num_classes: int = 3, backbone: Any = None, **sections: Any) -> Detector:
    """An SSDLite; `backbone` and `sections` are of the config."""
    config = {"backbone": {**RELEASE, **(backbone or {})}, **sections}
    network = build_network(parse_config({"task": "detection", **config}), num_classes)
    assert isinstance(network, Detector)
    return randomise(network)


def segmenter(num_classes: int = 21, backbone: Any = None, **head: Any) -> Segmenter:
    """A DeepLabv3; `backbone` and `head` are sections of the config."""
    backbone = {**RELEASE, "output_stride": 16, **(backbone or {})}
    config = {"task": "segmentation", "backbone": backbone, "head": head}
    network = build_network(parse_config(config), num_classes)
    assert isinstance(network, Segmenter)
    return randomise(network)


def classifier(num_classes: int = 11, **backbone: Any) -> Classifier:
    """An ImageNet classifier; `backbone` is of the config."""
    values: dict[str, object] = {"backbone": {**RELEASE, **backbone}}
    config = build(ClassifierConfig, Given("test", values))
    return randomise(build_classifier(config.backbone, num_classes))


def randomise(network: Module, seed: int = 0) -> Module:
    """Random weights with which the signal survives, and random statistics."""
    chance = torch.Generator().manual_seed(seed)

    def draw(tensor: Tensor, low: float, high: float) -> None:
        tensor.copy_(torch.rand(tensor.shape, generator=chance) * (high - low) + low)

    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                bound = (6 / layer.weight[0].numel()) ** 0.5
                draw(layer.weight, -bound, bound)
                if layer.bias is not None:
                    draw(layer.bias, -0.5, 0.5)
            elif isinstance(layer, nn.BatchNorm2d):
                assert layer.running_mean is not None
                assert layer.running_var is not None
                draw(layer.weight, 0.8, 1.3)
                draw(layer.bias, -0.3, 0.5)
                draw(layer.running_mean, -0.3, 0.3)
                draw(layer.running_var, 0.5, 1.5)
    return network.eval()


def refusal(message: Any) -> str:
    """How the import of a graph is refused."""
    with pytest.raises(UserError) as caught:
        import_message(message)
    assert str(caught.value).startswith(FILE + ": ")
    return str(caught.value)


def import_message(message: Any) -> Imported:
    """What is recognised in a GraphDef."""
    return recognise(graph_from_message(message, FILE))


def rebuild(imported: Imported) -> Network:
    """The network of the import's own settings, with its weights; none may be left over."""
    network = _BUILD[imported.task](imported)
    network.load_state_dict(imported.state, strict=True)
    return network.eval()


def _build_dense(imported: Imported) -> Network:
    config = parse_config({"task": imported.task, **imported.settings})
    return build_network(config, len(imported.categories))


def _build_classifier(imported: Imported) -> Network:
    config = build(ClassifierConfig, Given("test", dict(imported.settings)))
    return build_classifier(config.backbone, len(imported.state["classifier.weight"]))


_BUILD: dict[str, Callable[[Imported], Network]] = {
    "detection": _build_dense,
    "segmentation": _build_dense,
    "classification": _build_classifier,
}


def assert_same_states(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    """Every tensor is bit for bit the same, and none is missing or too many."""
    counters = {name for name in wanted if name.endswith("num_batches_tracked")}
    assert {*found} | counters == {*wanted}
    for name, tensor in wanted.items():
        if name not in counters:
            assert torch.equal(found[name], tensor), name
