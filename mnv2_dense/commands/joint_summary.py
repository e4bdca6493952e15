"""What a joint network holds and computes, beside its two columns as networks of their own."""

from collections.abc import Mapping
from typing import Any

import torch

from mnv2_dense.builders import count_classes, detection, joint, segmentation
from mnv2_dense.builders.parts import input_size
from mnv2_dense.config.schema import JointConfig, columns_of
from mnv2_dense.joint.network import JointNetwork
from mnv2_dense.ops.count import NetworkCount, count_layers, sum_layers


def build_joint(config: JointConfig) -> JointNetwork:
    """The joint network without values; classes that the config does not give are the data's."""
    with torch.device("meta"):
        return joint.build_network(config, *map(count_classes, columns_of(config)))


def count_separate(config: JointConfig) -> Mapping[str, NetworkCount]:
    """Each column as a network of its own, with a backbone up to its own taps, and both."""
    boxed, masked = map(count_classes, columns_of(config))
    with torch.device("meta"):
        networks = {
            "detector alone": detection.build_network(config.detector(), boxed),
            "segmenter alone": segmentation.build_network(config.segmenter(), masked),
        }
    size = input_size(config)
    counts = {name: sum_layers(count_layers(each, size)) for name, each in networks.items()}
    totals = [sum(column) for column in zip(*counts.values(), strict=True)]
    return {**counts, "two networks": NetworkCount(*totals)}


def describe_joint(network: JointNetwork, config: JointConfig) -> dict[str, Any]:
    """Its anchors and taps, and what the two columns cost alone."""
    with torch.no_grad():
        outputs = network.eval()(torch.zeros(1, 3, *input_size(config), device="meta"))
    separate = {name: each._asdict() for name, each in count_separate(config).items()}
    return {
        "anchors": len(outputs.detection.anchors),
        "taps": [spec._asdict() for spec in network.backbone.specs],
        "separate": separate,
    }
