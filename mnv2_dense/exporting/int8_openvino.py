"""Deployed networks as OpenVINO files whose layers compute in 8 bits."""

import io
import logging
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnv2_dense.exporting import onnx_file
from mnv2_dense.exporting.openvino_file import save
from mnv2_dense.exporting.rounding import HALF_LEVELS, LEVELS
from mnv2_dense.prediction.engine import IMAGES, SCORE_THRESHOLD
from mnv2_dense.prediction.manifest import Manifest
from mnv2_dense.prediction.network import Deployed
from mnv2_dense.prediction.openvino_engine import import_openvino
from mnv2_dense.prediction.openvino_graph import adapt

CONVOLUTIONS = ("Convolution", "GroupConvolution")


def levels(groups: int) -> int:
    """Of the weights of a convolution of so many groups: depthwise kernels add in 32 bits."""
    return HALF_LEVELS if groups == 1 else LEVELS


def write(deployed: Deployed, manifest: Manifest, path: Path, pictures: NDArray[np.uint8]) -> None:
    """Writes the network in 8 bits, its decoding in float32, and its manifest.

    Args:
        deployed: With rounded weights (`round_weights` with `levels`).
        manifest: Of what is written.
        path: Where it goes, `.xml`; the weights go beside it, `.bin`.
        pictures: Prepared as for prediction, [N, H, W, 3].
    """
    openvino = import_openvino(path)
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "network.onnx"
        onnx_file.write(deployed, manifest, source)
        model = openvino.Core().read_model(source)
        # First, as constants are folded, and the threshold is one until then.
        adapt(openvino, model, manifest)
        _fold_constants(model)
        weights = _weights(model)
        quantised = _quantize(model, pictures, manifest.batch or 1)
        _set_weights(openvino.opset13, quantised, weights)
        save(quantised, manifest, path)


def _fold_constants(model: Any) -> None:
    """Gives depthwise kernels their five dimensions, which the reader computes in the graph.

    Out of four, NNCF gives them a scale per channel and column, which OpenVINO computes in float32.
    """
    from openvino.passes import ConstantFolding, Manager

    passes = Manager()
    passes.register_pass(ConstantFolding())
    passes.run_passes(model)


def _convolutions(model: Any) -> list[Any]:
    return [each for each in model.get_ops() if each.get_type_name() in CONVOLUTIONS]


def _weights(model: Any) -> dict[str, NDArray[np.float32]]:
    """Of every convolution, [out, in, h, w] or [groups, out, in, h, w]."""
    return {
        each.get_friendly_name(): each.input_value(1).get_node().data.copy()
        for each in _convolutions(model)
    }


def _set_weights(ops: Any, model: Any, weights: Mapping[str, NDArray[np.float32]]) -> None:
    """Gives the weights in 8 bits the grid that they were rounded to.

    NNCF's has other steps: of half the range the largest weight / 63.5, by which the weights of
    every layer become 0.8 % smaller, and none below a hundredth of the layer's largest.
    """
    for convolution in _convolutions(model):
        weight = weights[convolution.get_friendly_name()]
        of_channel = tuple(range(weight.ndim - 3, weight.ndim))
        largest = np.abs(weight).max(axis=of_channel, keepdims=True)
        groups = 1 if weight.ndim == 4 else len(weight)
        step = np.where(largest > 0, largest / levels(groups), 1).astype(np.float32)
        whole = ops.constant(np.rint(weight / step).astype(np.int8))
        scaled = ops.multiply(ops.convert(whole, np.float32), ops.constant(step))
        convolution.input(1).replace_source_output(scaled.output(0))


def _quantize(model: Any, pictures: NDArray[np.uint8], batch: int) -> Any:
    with _quiet():
        import nncf
        from nncf.quantization.advanced_parameters import AdvancedQuantizationParameters

        whole = len(pictures) // batch * batch
        batches = pictures[:whole].reshape(-1, batch, *pictures.shape[1:])
        return nncf.quantize(
            model,
            nncf.Dataset([_feed(model, each) for each in batches]),
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(batches),
            ignored_scope=nncf.IgnoredScope(names=_decoding(model), validate=False),
            # The biases make up for the rounding already.
            advanced_parameters=AdvancedQuantizationParameters(disable_bias_correction=True),
        )


def _feed(model: Any, images: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
    values = {IMAGES: images, SCORE_THRESHOLD: np.zeros((), np.float32)}
    return {each.any_name: values[each.any_name] for each in model.inputs}


def _decoding(model: Any) -> list[str]:
    """Names of the operations that no convolution comes after, convolutions excepted."""
    needed: set[str] = set()
    names: list[str] = []
    for operation in reversed(model.get_ordered_ops()):
        name = operation.get_friendly_name()
        if operation.get_type_name() in CONVOLUTIONS or name in needed:
            needed.update(
                value.get_source_output().get_node().get_friendly_name()
                for value in operation.inputs()
            )
        elif operation.get_type_name() not in ("Parameter", "Result", "Constant"):
            names.append(name)
    return names


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps NNCF's remarks and progress bars from the terminal."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(before)
