from pathlib import Path

import pytest
import torch
from torch import Tensor

from mnv2_dense.backbone.mobilenet_v2 import MobileNetV2
from mnv2_dense.builders import detection, joint, segmentation
from mnv2_dense.config.schema import JointConfig
from mnv2_dense.joint.network import JointNetwork
from mnv2_dense.structures import FeatureSpec
from tests.joint.tiny import SIZE, config_of, spread_norms

BOXED, MASKED = 10, 11


@pytest.fixture
def config() -> JointConfig:
    return config_of(Path("data"), "segmentation.head.auxiliary=true")


@pytest.fixture
def network(config: JointConfig) -> JointNetwork:
    torch.manual_seed(0)
    network = joint.build_network(config, BOXED, MASKED)
    spread_norms(network)
    return network


def images() -> Tensor:
    return torch.randn(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(2))


def part_of(state: dict[str, Tensor], names: dict[str, str]) -> dict[str, Tensor]:
    """The entries below some modules, under other names of these."""
    return {
        own + name.removeprefix(prefix): value
        for prefix, own in names.items()
        for name, value in state.items()
        if name.startswith(prefix)
    }


def test_shapes_are_those_of_both_heads(network: JointNetwork) -> None:
    outputs = network.eval()(images())
    cells = SIZE // 8
    anchors = 3 * cells**2 + 6 * (16 + 4 + 1)  # Level 0 has 3 a cell, the extra levels 6.
    assert outputs.detection.class_logits.shape == (2, anchors, 1 + BOXED)
    assert outputs.detection.box_deltas.shape == (2, anchors, 4)
    assert outputs.segmentation.class_logits.shape == (2, MASKED, cells, cells)
    assert outputs.segmentation.auxiliary_logits is None
    assert network.train()(images()).segmentation.auxiliary_logits.shape[:2] == (2, MASKED)


@pytest.mark.parametrize("training", [False, True])
def test_each_head_predicts_what_its_own_network_does(
    network: JointNetwork, config: JointConfig, *, training: bool
) -> None:
    state = {name: value.clone() for name, value in network.state_dict().items()}
    detector = detection.build_network(config.detector(), BOXED)
    segmenter = segmentation.build_network(config.segmenter(), MASKED)
    shared = {"backbone.": "backbone."}
    own = part_of(state, {**shared, "detection_head.": "head."})
    detector.load_state_dict({name: own[name] for name in detector.state_dict()})
    heads = {"segmentation_head.": "head.", "auxiliary_head.": "auxiliary_head."}
    own = part_of(state, {**shared, **heads})
    segmenter.load_state_dict({name: own[name] for name in segmenter.state_dict()})
    for each in (network, detector, segmenter):
        each.train(training)
        for module in each.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
    outputs = network(images())
    for joint_part, alone in (
        (outputs.detection, detector(images())),
        (outputs.segmentation, segmenter(images())),
    ):
        for mine, theirs in zip(joint_part, alone, strict=True):
            assert (mine is None and theirs is None) or torch.equal(mine, theirs)


def test_the_backbone_runs_once_for_both(network: JointNetwork) -> None:
    passes: list[str] = []
    for name in ("backbone", "detection_head", "segmentation_head"):
        module = network.get_submodule(name)
        module.register_forward_hook(lambda *_, name=name: passes.append(name))
    network.eval()(images())
    assert passes == ["backbone", "detection_head", "segmentation_head"]


def test_a_head_that_is_not_asked_has_no_gradient(network: JointNetwork) -> None:
    outputs = network.train()(images(), "detection")
    assert outputs.segmentation is None
    outputs.detection.class_logits.sum().backward()
    with_gradient = {
        name.split(".")[0] for name, each in network.named_parameters() if each.grad is not None
    }
    assert with_gradient == {"backbone", "detection_head"}
    outputs = network(images(), "segmentation")
    assert outputs.detection is None


def test_maps_that_both_heads_read_are_taken_once() -> None:
    config = config_of(Path("data"), "detection.head.taps=[block_13_expansion, block_16]")
    network = joint.build_network(config, BOXED, MASKED)
    assert network.backbone.specs == (
        FeatureSpec("block_13_expansion", 192, 8),
        FeatureSpec("block_16", 112, 8),
    )
    assert isinstance(network.backbone, MobileNetV2)
    assert len(network.backbone.blocks) == 17
    assert network.backbone.last is None


def test_class_layers_exist(network: JointNetwork) -> None:
    names = dict(network.named_modules())
    outputs = {names[name].out_channels for name in network.class_layers}
    assert len(network.class_layers) == 4 + 2
    assert outputs == {3 * (1 + BOXED), 6 * (1 + BOXED), MASKED}
