"""The network of a config, layer by layer."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from mnv2_dense.builders import build_network, count_classes
from mnv2_dense.builders.parts import build_classifier, input_size
from mnv2_dense.config.loader import load_config
from mnv2_dense.detection.network import SSDLite
from mnv2_dense.ops.count import LayerCount, count_layers
from mnv2_dense.segmentation.network import DeepLabV3
from mnv2_dense.structures import ImageSize


def summarize(
    config_path: Path,
    overrides: Sequence[str],
    *,
    as_json: bool = False,
    classifier: bool = False,
) -> None:
    """Prints layers and totals.

    As JSON the keys are parameters, multiply_adds, taps and, of a detector, anchors.

    With `classifier` the network is the config's backbone under a classifier of 1000 classes,
    as the paper counts it in Table 4; it has neither taps nor anchors.
    """
    config = load_config(config_path, overrides)
    size = input_size(config)
    more: dict[str, Any] = {}
    if classifier:
        layers = count_layers(build_classifier(config), size)
    else:
        network = build_network(config, count_classes(config))
        layers, more = count_layers(network, size), _describe(network, size)
    totals: dict[str, Any] = {
        "parameters": sum(layer.parameters for layer in layers),
        "multiply_adds": sum(layer.multiply_adds for layer in layers),
        **more,
    }
    if as_json:
        print(json.dumps(totals, indent=2))
    else:
        _print_table(layers, totals)


def _describe(network: SSDLite | DeepLabV3, size: ImageSize) -> dict[str, Any]:
    """What a classifier lacks: taps, and a detector's anchors."""
    taps = {"taps": [spec._asdict() for spec in network.backbone.specs]}
    if isinstance(network, DeepLabV3):
        return taps
    with torch.no_grad():
        return {"anchors": len(network.eval()(torch.zeros(1, 3, *size)).anchors), **taps}


def _print_table(layers: Sequence[LayerCount], totals: dict[str, Any]) -> None:
    width = max(len(layer.name) for layer in layers)
    print(f"{'layer':<{width}}  {'kind':<14} {'output':<18} {'parameters':>12} {'mult-adds':>14}")
    for layer in layers:
        shape = "x".join(map(str, layer.output_shape))
        print(
            f"{layer.name:<{width}}  {layer.kind:<14} {shape:<18} "
            f"{layer.parameters:>12,} {layer.multiply_adds:>14,}"
        )
    print()
    for tap in totals.get("taps", []):
        print(f"tap {tap['name']}: {tap['channels']} channels at stride {tap['stride']}")
    for name in ("parameters", "multiply_adds", "anchors"):
        if name in totals:
            print(f"{name:<14} {totals[name]:>14,}")
