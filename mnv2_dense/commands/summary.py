"""The network of a config, layer by layer."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from mnv2_dense.build import (
    annotation_path,
    build_classifier,
    build_network,
    input_size,
    read_categories,
)
from mnv2_dense.config.loader import load_config
from mnv2_dense.config.schema import DetectionConfig
from mnv2_dense.detection.network import SSDLite
from mnv2_dense.errors import UserError
from mnv2_dense.ops.count import LayerCount, count_layers
from mnv2_dense.structures import ImageSize


def summarize(
    config_path: Path,
    overrides: Sequence[str],
    *,
    as_json: bool = False,
    classifier: bool = False,
) -> None:
    """Prints layers and totals; as JSON the keys are parameters, multiply_adds, anchors, taps.

    With `classifier` the network is the config's backbone under a classifier of 1000 classes,
    as the paper counts it in Table 4; it has no anchors.
    """
    config = load_config(config_path, overrides)
    size = input_size(config)
    more: dict[str, Any] = {}
    if classifier:
        layers = count_layers(build_classifier(config), size)
    else:
        detector = build_network(config, _num_classes(config))
        layers, more = count_layers(detector, size), _describe(detector, size)
    totals: dict[str, Any] = {
        "parameters": sum(layer.parameters for layer in layers),
        "multiply_adds": sum(layer.multiply_adds for layer in layers),
        **more,
    }
    if as_json:
        print(json.dumps(totals, indent=2))
    else:
        _print_table(layers, totals)


def _describe(detector: SSDLite, size: ImageSize) -> dict[str, Any]:
    """What only a detector has: its anchors and taps."""
    with torch.no_grad():
        anchors = len(detector.eval()(torch.zeros(1, 3, *size)).anchors)
    return {"anchors": anchors, "taps": [spec._asdict() for spec in detector.backbone.specs]}


def _num_classes(config: DetectionConfig) -> int:
    """The class count that the config gives, or that of its training annotations."""
    if config.data.num_classes is not None:
        return config.data.num_classes
    if not annotation_path(config, "train").is_file():
        raise UserError(
            f"{annotation_path(config, 'train')} is not there to count the classes; "
            "give data.num_classes=N"
        )
    return len(read_categories(config))


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
