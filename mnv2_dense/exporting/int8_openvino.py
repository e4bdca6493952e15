"""Deployed networks as OpenVINO files whose layers compute in 8 bits."""

import io
import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnv2_dense.exporting import onnx_file
from mnv2_dense.exporting.openvino_file import save
from mnv2_dense.exporting.rounding import HALF_LEVELS
from mnv2_dense.prediction.manifest import Manifest
from mnv2_dense.prediction.network import Deployed
from mnv2_dense.prediction.openvino_engine import import_openvino
from mnv2_dense.prediction.openvino_graph import IMAGES, SCORE_THRESHOLD, adapt

CONVOLUTIONS = ("Convolution", "GroupConvolution")


def levels(groups: int) -> int:
    """Of the weights of every convolution: NNCF halves all or none."""
    return HALF_LEVELS


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
        # First, as NNCF folds constants, and the threshold is one until then.
        adapt(openvino, model, manifest)
        save(_quantize(model, pictures, manifest.batch or 1), manifest, path)


def _quantize(model: Any, pictures: NDArray[np.uint8], batch: int) -> Any:
    with _quiet():
        import nncf
        from nncf.quantization.advanced_parameters import (
            AdvancedQuantizationParameters,
            OverflowFix,
        )

        whole = len(pictures) // batch * batch
        batches = pictures[:whole].reshape(-1, batch, *pictures.shape[1:])
        return nncf.quantize(
            model,
            nncf.Dataset([_feed(model, each) for each in batches]),
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(batches),
            ignored_scope=nncf.IgnoredScope(names=_decoding(model), validate=False),
            # CPUs without VNNI add products of 8 bits in 16: with half the range they fit. The
            # weights lie on that grid already, and the biases make up for it.
            advanced_parameters=AdvancedQuantizationParameters(
                overflow_fix=OverflowFix.ENABLE, disable_bias_correction=True
            ),
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
