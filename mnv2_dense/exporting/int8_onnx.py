"""Deployed networks as ONNX files whose layers compute in 8 bits."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import numpy_helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)
from typing_extensions import override

from mnv2_dense.exporting.onnx_file import build_model
from mnv2_dense.exporting.rounding import HALF_LEVELS, LEVELS
from mnv2_dense.prediction.engine import IMAGES
from mnv2_dense.prediction.manifest import Manifest
from mnv2_dense.prediction.network import Deployed

KINDS = ["Conv", "Clip", "Relu", "Add", "Concat"]
"""Operations with a kernel for 8 bits; an activation goes into the scale of what it bounds."""


def levels(groups: int) -> int:
    """Of the weights of a convolution of so many groups: depthwise kernels add in 32 bits."""
    return HALF_LEVELS if groups == 1 else LEVELS


def write(deployed: Deployed, manifest: Manifest, path: Path, pictures: NDArray[np.uint8]) -> None:
    """Writes the network in 8 bits, its decoding in float32, and its manifest.

    Weights have a scale per output channel, those of each level's classes and boxes their own;
    activations have the range that was seen. Those of what is decoded have a scale per map.

    Args:
        deployed: With rounded weights (`round_weights` with `levels`).
        manifest: Of what is written.
        path: Where it goes.
        pictures: Prepared as for prediction, [N, H, W, 3].
    """
    model = build_model(deployed, manifest)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    wanted = _network_nodes(model.graph)
    with _quiet():
        quantize_static(
            model,
            path,
            _Pictures(pictures, manifest.batch or 1),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=KINDS,
            nodes_to_quantize=[name for name, kind in wanted.items() if kind in KINDS],
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            extra_options={"TensorQuantOverrides": _weight_scales(model.graph)},
        )
    quantised = onnx.load(path)
    onnx.helper.set_model_props(quantised, metadata)
    path.write_bytes(quantised.SerializeToString())


def _network_nodes(graph: onnx.GraphProto) -> dict[str, str]:
    """Names and kinds of the convolutions and of what comes before one: the rest decodes."""
    needed: set[str] = set()
    found: dict[str, str] = {}
    for node in reversed(graph.node):
        if node.op_type == "Conv" or needed.intersection(node.output):
            needed.update(node.input)
            found[node.name] = node.op_type
    return found


def _weight_scales(graph: onnx.GraphProto) -> dict[str, list[dict[str, Any]]]:
    """The grid that every convolution's weights were rounded to."""
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    scales: dict[str, list[dict[str, Any]]] = {}
    for node in graph.node:
        if node.op_type == "Conv" and node.input[1] in tensors:
            weight = numpy_helper.to_array(tensors[node.input[1]])
            groups = next((each.i for each in node.attribute if each.name == "group"), 1)
            largest = np.abs(weight).max(axis=(1, 2, 3))
            steps = np.where(largest > 0, largest / levels(groups), 1).astype(np.float32)
            scales[node.input[1]] = [_weight_scale(step) for step in steps]
    return scales


def _weight_scale(step: np.float32) -> dict[str, Any]:
    zero = np.array(0, np.int8)
    return {"axis": 0, "quant_type": QuantType.QInt8, "scale": step, "zero_point": zero}


class _Pictures(CalibrationDataReader):
    """Batch after batch, in the form that ONNX Runtime's calibration asks for."""

    def __init__(self, pictures: NDArray[np.uint8], batch: int) -> None:
        whole = len(pictures) // batch * batch
        self._batches = iter(pictures[:whole].reshape(-1, batch, *pictures.shape[1:]))

    @override
    # pyrefly: ignore[bad-override]  its own example returns None at the end, too
    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        batch = next(self._batches, None)
        return None if batch is None else {IMAGES: batch}


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps the quantiser's advice, and its runtime's, from the terminal."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    onnxruntime.set_default_logger_severity(3)  # errors
    try:
        yield
    finally:
        onnxruntime.set_default_logger_severity(2)  # its default
        logging.disable(before)
