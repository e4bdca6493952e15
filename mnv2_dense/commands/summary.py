"""The network of a config or checkpoint, layer by layer."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from mnv2_dense.backbone.classifier import Classifier
from mnv2_dense.builders import build_network, count_classes
from mnv2_dense.builders.backbones import build_classifier
from mnv2_dense.builders.opening import check_same_classes, parse_any_card, read_card
from mnv2_dense.builders.parts import input_size
from mnv2_dense.commands.joint_summary import build_joint, describe_joint
from mnv2_dense.config.loader import CONFIG_SUFFIXES, load_any_config
from mnv2_dense.config.schema import AnyConfig, JointConfig
from mnv2_dense.detection.network import Detector
from mnv2_dense.joint.network import JointNetwork
from mnv2_dense.ops.checkpoint_file import read_checkpoint
from mnv2_dense.ops.count import LayerCount, count_layers, sum_layers
from mnv2_dense.segmentation.network import Segmenter

COLUMNS = ("layer", "kind", "output", "parameters", "mult-adds", "tap")
NUMBERS = ("parameters", "mult-adds")
"""Columns that are aligned to the right."""


def summarize(
    config_path: Path,
    overrides: Sequence[str],
    *,
    as_json: bool = False,
    classifier: bool = False,
) -> None:
    """Prints a row per layer (see `LayerCount`), and totals, of a config or of a checkpoint's.

    As JSON, totals only: parameters, multiply_adds, space_to_batch, taps and, of a detector,
    anchors; of a joint network also those of its two columns as networks of their own.

    With `classifier` the network is the config's backbone under a classifier of 1000 classes,
    as the paper counts it in Table 4; it has neither taps nor anchors.
    """
    config, num_classes = _read(config_path, overrides)
    size = input_size(config)
    network = _build(config, num_classes, classifier=classifier)
    layers = count_layers(network, size)
    totals: dict[str, Any] = sum_layers(layers)._asdict()
    if not isinstance(network, Classifier):
        totals |= _describe(network, config)
    if as_json:
        print(json.dumps(totals, indent=2))
    else:
        _print_table(layers, totals)


def _read(path: Path, overrides: Sequence[str]) -> tuple[AnyConfig, int | None]:
    """A config, or that in a checkpoint, which has a count of classes of its own."""
    if path.suffix in CONFIG_SUFFIXES:
        return load_any_config(path, overrides), None
    stored, categories = read_card(read_checkpoint(path), path)
    config = parse_any_card(stored, path, overrides)
    check_same_classes(config, categories, path)
    return config, len(categories)


def _build(
    config: AnyConfig, num_classes: int | None, *, classifier: bool
) -> Detector | Segmenter | JointNetwork | Classifier:
    """The network without values: its sizes say everything."""
    if classifier:
        with torch.device("meta"):
            return build_classifier(config.backbone)
    if isinstance(config, JointConfig):
        return build_joint(config)
    if num_classes is None:
        num_classes = count_classes(config)
    with torch.device("meta"):
        return build_network(config, num_classes)


def _describe(network: Detector | Segmenter | JointNetwork, config: AnyConfig) -> dict[str, Any]:
    """What a classifier lacks: taps, and a detector's anchors."""
    if isinstance(network, JointNetwork):
        assert isinstance(config, JointConfig)
        return describe_joint(network, config)
    taps = {"taps": [spec._asdict() for spec in network.backbone.specs]}
    if isinstance(network, Segmenter):
        return taps
    with torch.no_grad():
        outputs = network.eval()(torch.zeros(1, 3, *input_size(config), device="meta"))
    return {"anchors": len(outputs.anchors), **taps}


def _print_table(layers: Sequence[LayerCount], totals: dict[str, Any]) -> None:
    rows = [_row(layer) for layer in layers]
    widths = [max(map(len, column)) for column in zip(COLUMNS, *rows, strict=True)]
    for row in (COLUMNS, *rows):
        aligned = [
            f"{text:>{width}}" if name in NUMBERS else f"{text:<{width}}"
            for name, text, width in zip(COLUMNS, row, widths, strict=True)
        ]
        print("  ".join(aligned).rstrip())
    print()
    _print_totals(totals)


def _row(layer: LayerCount) -> tuple[str, ...]:
    return (
        layer.name or "(network)",
        layer.kind,
        "x".join(map(str, layer.output_shape)),
        f"{layer.parameters:,}",
        f"{layer.multiply_adds:,}",
        layer.tap,
    )


def _print_totals(totals: dict[str, Any]) -> None:
    for tap in totals.get("taps", []):
        print(f"tap {tap['name']}: {tap['channels']} channels at stride {tap['stride']}")
    for name in ("parameters", "multiply_adds", "anchors"):
        if name in totals:
            print(f"{name:<14} {totals[name]:>15,}")
    if totals["space_to_batch"] != totals["multiply_adds"]:
        how = "multiply-adds as TensorFlow's space-to-batch runs atrous layers"
        print(f"space_to_batch {totals['space_to_batch']:>15,}  {how}")
    for name, counts in totals.get("separate", {}).items():
        figures = f"{counts['parameters']:>15,} parameters {counts['multiply_adds']:>15,} mult-adds"
        print(f"{name:<15}{figures}")
