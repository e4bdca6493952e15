"""Small .tflite files, read at once."""

from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from mnv2_dense.importing.graph import Graph, Node
from mnv2_dense.importing.tflite import read_tflite
from tests.importing.flatbuffers_models import ModelWriter


def read_unary(path: Path, builtin: str, options: Any = None, extra: int = 0) -> Node:
    """The node of one operator from `data` to `made`, with `extra` inputs of their own."""
    writer = ModelWriter()
    inputs = [writer.tensor("data"), *(writer.tensor(f"extra {i}") for i in range(extra))]
    writer.operator(builtin, inputs, [writer.tensor("made")], options)
    (node,) = read_tflite(writer.write(path, inputs)).nodes
    return node


def read_constant(
    path: Path, values: np.ndarray, kind: str, shape: tuple[int, ...] | None = None, **steps: Any
) -> Graph:
    """A file that adds one constant to its input."""
    writer = ModelWriter()
    data = writer.tensor("data")
    shape = values.shape if shape is None else shape
    constant = writer.tensor("constant", shape, values, kind, **steps)
    writer.operator("ADD", [data, constant], [writer.tensor("sum")], schema.AddOptionsT())
    return read_tflite(writer.write(path))


def write_convolution(path: Path, options: Any, *bias: int) -> Path:
    writer = ModelWriter()
    data = writer.tensor("data", (1, 4, 4, 1))
    weight = writer.tensor("weight", (2, 3, 3, 1), np.ones((2, 3, 3, 1), np.float32))
    made = writer.tensor("made", (1, 4, 4, 2))
    writer.operator("CONV_2D", [data, weight, *bias], [made], options)
    return writer.write(path)
