"""Deployed networks as ONNX files: pictures in, final boxes or label maps out."""

from pathlib import Path

import onnx
import onnx_ir as ir
import torch
from onnxscript import GraphBuilder

from mnv2_dense.detection.network import Detector
from mnv2_dense.exporting.onnx_anchors import add_anchors
from mnv2_dense.exporting.onnx_detection import (
    add_boxes,
    add_decoding,
    add_raw_outputs,
    add_scores,
)
from mnv2_dense.exporting.onnx_network import trace_network
from mnv2_dense.exporting.onnx_segmentation import add_label_map
from mnv2_dense.prediction.manifest import KEY, Manifest
from mnv2_dense.prediction.network import Deployed, DeployedDetector, DeployedSegmenter
from mnv2_dense.structures import ImageSize
from mnv2_dense.training.durable import replace_durably


def write(deployed: Deployed, manifest: Manifest, path: Path) -> None:
    """Writes the network, its decoding and its manifest.

    Args:
        deployed: The network.
        manifest: Says which of batch, height and width are fixed.
        path: Where it goes.

    Raises:
        OSError: It cannot be written.
    """
    model = build_model(deployed, manifest)
    replace_durably(path, lambda file: file.write(model.SerializeToString()))


def build_model(deployed: Deployed, manifest: Manifest) -> onnx.ModelProto:
    """The content of the file that `write` writes."""
    model = trace_network(deployed, manifest)
    graph = model.graph
    builder = GraphBuilder(graph)
    maps = list(graph.outputs)
    graph.outputs.clear()
    builder.push_module("decode")
    if isinstance(deployed, DeployedDetector):
        _add_detections(builder, deployed, maps, manifest)
    else:
        add_label_map(
            builder,
            maps[0],
            graph.inputs[0],
            align_corners=manifest.decoding["align_corners"],
            sizes=None if manifest.dynamic_size else _sizes(deployed, manifest.input_size),
        )
    builder.pop_module()
    _name_dimensions(graph)
    model.producer_name, model.producer_version = "mnv2_dense", manifest.version
    model.metadata_props.update(_metadata(manifest))
    return ir.to_proto(model)


def _sizes(deployed: DeployedSegmenter, size: ImageSize) -> tuple[ImageSize, ImageSize]:
    """Of pictures and of their logits."""
    logits = deployed(torch.zeros(1, *size, 3, dtype=torch.uint8))
    return size, ImageSize(*logits.shape[2:])


def _add_detections(
    builder: GraphBuilder, deployed: DeployedDetector, maps: list[ir.Value], manifest: Manifest
) -> None:
    levels, op = len(maps) // 2, builder.op
    classes = len(manifest.categories)
    logits, deltas = add_raw_outputs(op, maps[:levels], maps[levels:], classes + 1)
    if manifest.dynamic_size:
        network = deployed.network
        assert isinstance(network, Detector)
        generator = network.anchor_generator
        anchors = add_anchors(op, generator, maps[levels:], builder.graph.inputs[0])
    else:
        images = torch.zeros(1, *manifest.input_size, 3, dtype=torch.uint8)
        anchors = builder.initializer(
            ir.tensor(deployed.outputs(images).anchors.numpy(), name="anchors")
        )
    scores = add_scores(op, logits, deployed.activation)
    add_decoding(builder, scores, add_boxes(op, deltas, anchors), manifest.decoding)


def _name_dimensions(graph: ir.Graph) -> None:
    """Says of the outputs what other programs show: which of their sides follow from which."""
    shape = graph.inputs[0].shape
    assert shape is not None
    batch, height, width, _ = shape
    shapes = {
        "boxes": [batch, "detections", 4],
        "scores": [batch, "detections"],
        "labels": [batch, "detections"],
        "label_map": [batch, height, width],
    }
    for output in graph.outputs:
        traced = output.shape or []  # Of the logits, whose cells the exporter has counted.
        output.shape = ir.Shape(shapes.get(str(output.name), [batch, *traced[1:]]))


def _metadata(manifest: Manifest) -> dict[str, str]:
    """The manifest, and what other programs show of a file."""
    return {
        KEY: manifest.to_json(),
        "task": manifest.task,
        "classes": ", ".join(manifest.names),
        "version": manifest.version,
        "licence": manifest.licence or "not given",
    }
