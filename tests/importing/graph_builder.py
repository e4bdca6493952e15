"""Writes TensorFlow graphs, node by node."""

import importlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

TYPES = {"float32": 1, "float64": 2, "int32": 3, "uint8": 4, "int64": 9, "bool": 10, "float16": 19}
"""Numbers of types in TensorFlow's `types.proto`."""
STRING = 7


def new_message(name: str = "GraphDef", module: str = "graph_pb2") -> Any:
    return getattr(importlib.import_module(f"tensorboard.compat.proto.{module}"), name)()


class Shape(NamedTuple):
    """An attribute that is a shape; None for sides that are not known."""

    sides: Sequence[int | None]


class Type(NamedTuple):
    """An attribute that is a type, by numpy's name."""

    name: str


class GraphBuilder:
    """Builds `message`, node by node. Every method returns the name of the tensor it makes.

    `sizes` holds height and width of maps, where they are known; what writes convolutions
    carries them on from the image's, which the caller sets.
    """

    def __init__(self) -> None:
        self.message = new_message()
        self.sizes: dict[str, tuple[int, int]] = {}

    def const(self, name: str, array: Any) -> str:
        node = self.message.node.add(name=name, op="Const")
        write_tensor(node.attr["value"].tensor, np.asarray(array))
        node.attr["dtype"].type = node.attr["value"].tensor.dtype
        return name

    def placeholder(self, name: str, dtype: str, shape: Sequence[int | None]) -> str:
        return self.node("Placeholder", name, [], dtype=Type(dtype), shape=Shape(shape))

    def node(self, op: str, name: str, inputs: Sequence[str], **attributes: Any) -> str:
        node = self.message.node.add(name=name, op=op, input=inputs)
        for key, value in attributes.items():
            write_attribute(node.attr[key], value)
        return name

    def sized(self, tensor: str, size: tuple[int, int] | None) -> str:
        """Notes the size of a tensor, where it is known."""
        if size is not None:
            self.sizes[tensor] = size
        return tensor


def write_tensor(tensor: Any, array: np.ndarray) -> None:
    for side in array.shape:
        tensor.tensor_shape.dim.add(size=side)
    if array.dtype.kind in "SO":
        tensor.dtype = STRING
        tensor.string_val.extend(array.ravel().tolist())
    else:
        tensor.dtype = TYPES[array.dtype.name]
        tensor.tensor_content = array.tobytes()


def write_attribute(attribute: Any, value: Any) -> None:
    if isinstance(value, Shape):
        attribute.shape.SetInParent()
        for side in value.sides:
            attribute.shape.dim.add(size=-1 if side is None else side)
    elif isinstance(value, Type):
        attribute.type = TYPES[value.name]
    elif isinstance(value, bool):
        attribute.b = value
    elif isinstance(value, int):
        attribute.i = value
    elif isinstance(value, float):
        attribute.f = value
    elif isinstance(value, str):
        attribute.s = value.encode()
    elif value and isinstance(value[0], str):
        attribute.list.s.extend(each.encode() for each in value)
    else:
        attribute.list.i.extend(value)
