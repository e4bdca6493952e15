"""Deployed networks as LiteRT files whose layers compute in 8 bits."""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from mnv2_dense.exporting.litert_file import check_decoding, convert, finish, prepare
from mnv2_dense.exporting.rounding import LEVELS
from mnv2_dense.prediction.engine import IMAGES
from mnv2_dense.prediction.manifest import Manifest
from mnv2_dense.prediction.network import Deployed
from mnv2_dense.training.durable import replace_durably

KINDS = {"CONV_2D": ".*", "DEPTHWISE_CONV_2D": ".*", "ADD": ".*InvertedResidual.*"}
"""Operations that compute in 8 bits, and the outputs of which: what decodes adds, too."""


def levels(groups: int) -> int:
    """Of the weights of every convolution: the kernels widen to 16 bits before they multiply."""
    return LEVELS


def write(deployed: Deployed, manifest: Manifest, path: Path, pictures: NDArray[np.uint8]) -> None:
    """Writes the network in 8 bits, its decoding in float32, and its manifest.

    Args:
        deployed: With rounded weights (`round_weights` with `levels`).
        manifest: See `litert_file.write`.
        path: Where it goes.
        pictures: Prepared as for prediction, [N, H, W, 3].

    Raises:
        UserError: The decoding is not to be had in this format.
    """
    check_decoding(manifest)
    manifest = replace(manifest, batch=1, dynamic_size=False)
    converted = convert(prepare(deployed, manifest), manifest)
    content = finish(_quantize(converted, pictures), manifest)
    replace_durably(path, lambda file: file.write(content))


def _quantize(content: bytes, pictures: NDArray[np.uint8]) -> bytes:
    from ai_edge_quantizer.qtyping import TFLOperationName
    from ai_edge_quantizer.quantizer import Quantizer

    quantizer = Quantizer(bytearray(content))
    for kind, names in KINDS.items():
        operation = TFLOperationName(kind)
        quantizer.add_static_config(names, operation, activation_num_bits=8, weight_num_bits=8)
    batches = [{IMAGES: each[None]} for each in pictures]
    with _quiet():
        seen = quantizer.calibrate({"serving_default": batches}, num_threads=1)
        quantised = quantizer.quantize(seen, enable_progress_report=False).quantized_model
    assert quantised is not None
    return _join(bytes(quantised))


def _join(content: bytes) -> bytes:
    """A file whose constants, which the quantiser lays behind its tables, are inside them."""
    model: Any = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    for buffer in model.buffers:
        if buffer.offset > 1:
            end = buffer.offset + buffer.size
            buffer.data = np.frombuffer(content[buffer.offset : end], np.uint8)
            buffer.offset = buffer.size = 0
    builder = flatbuffers.Builder(len(content))
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps the quantiser's progress bars and warnings from the terminal.

    They are of memory, and of the scale 0 of a channel whose weights are all zeros.
    """
    with warnings.catch_warnings(), redirect_stderr(io.StringIO()), redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
