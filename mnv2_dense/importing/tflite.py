"""A .tflite file as a graph; its quantised constants become float32."""

import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from mnv2_dense.errors import UserError
from mnv2_dense.importing.graph import Graph, GraphInput, Node, check_complete, first
from mnv2_dense.importing.tflite_constants import INTEGERS, read_constants, read_steps
from mnv2_dense.importing.tflite_file import (
    DamageError,
    TFLiteFile,
    bounded_range,
    find_name,
    open_file,
    read_indices,
    read_kind,
    read_shape,
    refuse_damage,
)
from mnv2_dense.importing.tflite_operations import find_operation, read_node, read_options

BEFORE_ACTIVATION = " before activation"
"""Ends the name of what an operation makes before the activation that the file fuses into it."""

_FIRST_BYTES = {"UINT8": 0, "INT8": -128}
"""What a type has for a picture's byte 0."""

ACTIVATIONS = {"RELU": "relu", "RELU6": "relu6"}


def read_tflite(path: Path) -> Graph:
    """The network in a .tflite file; needs the extra `tflite`.

    Tensors are named by `tensor_names`. A fused activation is a node of its own, which makes the
    tensor that the file names; what goes into it is that name and ` before activation`.

    Raises:
        UserError: The file cannot be read, is no TFLite file, is damaged, or holds what is not
            supported: several subgraphs, sparse or external weights, types such as int4.
    """
    with refuse_damage(path):
        file = _open(path)
        fed, results = (read_indices(file, file.part, direction) for direction in ("In", "Out"))
        constants, quantized = read_constants(file)
        graph = Graph(
            source=file.source,
            nodes=_read_nodes(file, constants),
            constants=constants,
            inputs={file.names[index]: _read_input(file, index) for index in fed},
            outputs=tuple(file.names[index] for index in results),
            quantized=quantized,
        )
    check_complete(graph)
    _check_order(graph)
    return graph


def tensor_indices(path: Path) -> dict[str, int]:
    """The interpreter's index of each tensor, by its name in `read_tflite`'s graph.

    Raises:
        UserError: As for `read_tflite`, of a file that cannot be opened.
    """
    with refuse_damage(path):
        return {name: index for index, name in enumerate(_open(path).names)}


def tensor_names(names: list[str]) -> list[str]:
    """A unique name for each tensor, of the names in the file, in its order.

    A name that is empty or not unique gets `#` and the tensor's index. Where that is some other
    tensor's name, all get it.
    """
    count = Counter(names)
    unique = [
        name if name and count[name] == 1 else f"{name}#{index}" for index, name in enumerate(names)
    ]
    if len(set(unique)) == len(unique):
        return unique
    return [f"{name}#{index}" for index, name in enumerate(names)]


def _open(path: Path) -> TFLiteFile:
    """With a unique name for each tensor."""
    file = open_file(path)
    return file._replace(names=tensor_names(file.names))


def _read_input(file: TFLiteFile, index: int) -> GraphInput:
    tensor = file.part.Tensors(index)
    sizes = read_shape(tensor, "ShapeSignature") or read_shape(tensor)
    shape = tuple(None if size < 0 else size for size in sizes)
    steps, kind = read_steps(file, index), read_kind(file, index)
    dtype = kind.lower()
    if kind != "INT8" and (steps is None or kind not in INTEGERS):
        return GraphInput(shape, dtype=dtype)
    name = f"{file.source}: {file.names[index]}, an input,"
    if steps is None or kind not in _FIRST_BYTES:
        raise UserError(
            f"{name} is {dtype} {'without' if steps is None else 'with'} quantisation; uint8 and "
            "int8 with quantisation, or float32 are allowed"
        )
    if len(steps.scale) != 1:
        raise UserError(f"{name} is quantised per channel")
    scale, zero_point = float(steps.scale[0]), float(steps.zero_point[0])
    if not 0 < scale < math.inf:
        raise DamageError(f"{file.names[index]} is quantised in steps of {scale}")
    return GraphInput(shape, scale, zero_point - _FIRST_BYTES[kind], dtype)


def _read_nodes(file: TFLiteFile, constants: dict[str, np.ndarray]) -> list[Node]:
    """In the file's order; a constant that is only dequantised becomes one in `constants`."""
    nodes: list[Node] = []
    folded: set[str] = set()
    for index in bounded_range(file.part.OperatorsLength(), "operators"):
        operator = file.part.Operators(index)
        builtin, op = find_operation(file, operator)
        node = read_node(file, operator, op, f"{op} {index}")
        if builtin == "DEQUANTIZE" and node.inputs[0] in constants:
            folded.add(node.inputs[0])
            constants[node.outputs[0]] = constants[node.inputs[0]]
        else:
            nodes += _split_activation(file, operator, node)
    read = {name for node in nodes for name in node.inputs}
    for name in folded - read:
        del constants[name]
    return nodes


def _split_activation(file: TFLiteFile, operator: Any, node: Node) -> list[Node]:
    """The node, and the activation that is fused into it."""
    options = read_options(file, operator)
    if not hasattr(options, "FusedActivationFunction"):
        return [node]
    kind = find_name(file.schema.ActivationFunctionType, options.FusedActivationFunction())
    if kind == "NONE":
        return [node]
    if kind not in ACTIVATIONS or len(node.outputs) != 1:
        raise UserError(
            f"{file.source}: {node.name} ({node.op}) ends in {kind.lower()}, which is not "
            "supported; relu and relu6 are"
        )
    before = node.name + BEFORE_ACTIVATION
    activation = Node(ACTIVATIONS[kind], node.name, (before,), node.outputs, {})
    return [node._replace(outputs=(before,)), activation]


def _check_order(graph: Graph) -> None:
    """Refuses a tensor that is read before it is made, or made twice."""
    made = {*graph.constants, *graph.inputs}
    for node in graph.nodes:
        if late := first(name for name in node.inputs if name not in made):
            raise UserError(f"{graph.source}: {node.name} reads {late} before it is made")
        if twice := first(name for name in node.outputs if name in made):
            raise UserError(f"{graph.source}: {twice} is made twice")
        made.update(node.outputs)
    if missing := first(name for name in graph.outputs if name not in made):
        raise UserError(f"{graph.source}: {missing} is a result, but nothing makes it")
