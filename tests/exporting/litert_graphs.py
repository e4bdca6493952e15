"""Graphs for LiteRT written by hand, in the form of the converter's: with one signature."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from mnv2_dense.prediction.litert_engine import quiet_runtime
from tests.importing.flatbuffers_models import ModelWriter

SIGNATURE = "serving_default"


def content_of(
    writer: ModelWriter, folder: Path, inputs: Mapping[str, int], outputs: Mapping[str, int]
) -> bytes:
    """The file, whose signature calls its tensors so."""
    signature: Any = schema.SignatureDefT()
    signature.signatureKey = SIGNATURE.encode()
    signature.inputs, signature.outputs = (
        [_entry(*each) for each in ends.items()] for ends in (inputs, outputs)
    )
    writer.model.signatureDefs = [signature]
    for tensor in writer.part.tensors:
        tensor.quantization = None  # To the quantiser an empty one says that it was here.
    path = folder / "by_hand.tflite"
    return writer.write(path, list(inputs.values()), list(outputs.values())).read_bytes()


def _entry(name: str, index: int) -> Any:
    entry: Any = schema.TensorMapT()
    entry.name, entry.tensorIndex = name.encode(), index
    return entry


def run(content: bytes, *, threads: int = 1, **values: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """The outputs by the names of the signature."""
    with quiet_runtime():
        interpreter = Interpreter(model_content=content, num_threads=threads)
        return dict(interpreter.get_signature_runner(SIGNATURE)(**values))


def tables(content: bytes) -> Any:
    """The file as the tables of its schema."""
    return schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))


def constant_of(model: Any, tensor: Any, kind: type[np.generic]) -> NDArray[Any]:
    """The values of a constant of such tables."""
    return model.buffers[tensor.buffer].data.view(kind).reshape(tensor.shape)
