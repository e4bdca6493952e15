"""A network as a file describes it: operations between tensors, in one form for every format."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from mnv2_dense.errors import UserError

MAX_RANK = 8
"""Most dimensions of a constant."""
MAX_NODES = 50_000
"""Most operations of a graph; a released detector's with its NMS has 7,000."""
MAX_READS = 2_000_000
"""Most tensors that all operations of a graph read together."""
MAX_NAME = 20_000
"""Most characters of a name."""


class Node(NamedTuple):
    """One operation.

    Names of operations and their attributes, where inputs are [data, constants ...]:

    - `conv2d` (data, weight[, bias]): layout `HWIO` or `OHWI`, strides and dilations (height,
      width), padding `same` or `valid`.
    - `depthwise_conv2d`: the same, with layout `HWCM` (C inputs, M outputs each) or `1HWC`.
    - `dense` (data, weight[, bias]): layout `IO` or `OI`.
    - `add` (two or more), `sub`, `mul`, `div`, `rsqrt`: element by element; also bias_add and
      add_n.
    - `batch_norm` (data, gamma, beta, mean, variance): epsilon.
    - `relu`, `relu6`, `sigmoid`, `softmax`, `identity` (also quantize and dequantize).
    - `avg_pool`: kernel, strides, padding; `mean` (data, axes).
    - `resize_bilinear` (data, size): align_corners, half_pixel_centers.
    - `concat` (without the axis): axis.
    - `space_to_batch_nd` (data, block_shape, paddings), `batch_to_space_nd`.
    - `detection_post_process`: the options of TFLite's operation, by their names.

    Others have the file's name in snake case. A constant is an input by name, see `Graph`.

    Attributes:
        op: What it does.
        name: What the file calls it.
        inputs: Tensors it reads, in order.
        outputs: Tensors it makes.
        attributes: See above.
    """

    op: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]


class GraphInput(NamedTuple):
    """What is fed: its shape (None: any), type, and how a byte b of 0-255 stands for a value.

    value = scale * (b - zero_point); (1.0, 0.0) where values are fed as they are. `dtype` is by
    numpy's name where it has one.
    """

    shape: tuple[int | None, ...] | None
    scale: float = 1.0
    zero_point: float = 0.0
    dtype: str = "float32"


class Graph(NamedTuple):
    """A whole file.

    Attributes:
        source: The file, for messages.
        nodes: In data-flow order: no node reads what a later one makes (but in loops).
        constants: By tensor name: float32 (dequantised where the file is quantised), or what
            the file has for integers; in the file's layout.
        inputs: By tensor name.
        outputs: Tensors that the file gives as results.
        quantized: Whether weights or activations are integers.
    """

    source: str
    nodes: list[Node]
    constants: dict[str, np.ndarray]
    inputs: dict[str, GraphInput]
    outputs: tuple[str, ...]
    quantized: bool = False


def check_complete(graph: Graph) -> None:
    """Refuses a graph in which something is read that nothing makes, or made for nobody.

    Raises:
        UserError: A tensor is missing, a constant that may be weights is read by nothing, or
            there is more of anything than is read.
    """
    _check_size(graph)
    made = {
        *graph.constants,
        *graph.inputs,
        *(name for node in graph.nodes for name in node.outputs),
    }
    for node in graph.nodes:
        if missing := first(name for name in node.inputs if name not in made):
            raise UserError(
                f"{graph.source}: {missing} is not in the file, but {node.name} reads it; the "
                "file is incomplete"
            )
    read = {*graph.outputs, *(name for node in graph.nodes for name in node.inputs)}
    unread = (name for name in graph.constants if name not in read)
    if left := first(name for name in unread if may_be_weights(graph.constants[name])):
        shape = describe_shape(graph.constants[left].shape)
        raise UserError(
            f"{graph.source}: {left} ({shape}) is left over: nothing in the file reads it"
        )


def _check_size(graph: Graph) -> None:
    nodes, reads = len(graph.nodes), sum(len(node.inputs) for node in graph.nodes)
    if nodes > MAX_NODES or reads > MAX_READS:
        raise UserError(
            f"{graph.source}: too large: {nodes} operations that read {reads} tensors; at most "
            f"{MAX_NODES} and {MAX_READS} are read"
        )


def check_finite(name: str, values: np.ndarray) -> None:
    """Refuses a constant that holds NaN or infinite values.

    Raises:
        UserError: It does; the message begins with `name`.
    """
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise UserError(f"{name}: holds NaN or infinite values; damaged, or training had failed")


def describe_shape(shape: Sequence[int]) -> str:
    """A shape for a message: `3x3x32`."""
    return "x".join(map(str, shape)) or "of a single value"


def printable(text: str) -> str:
    """A file's text for a message: not endless, and without what would act on a terminal."""
    return re.sub(r"[^ -~]", "?", text[:MAX_NAME])


def is_numeric(value: np.ndarray) -> bool:
    """Whether a constant can be computed with: numbers and truth values, no texts."""
    return value.dtype.kind in "biuf"


def may_be_weights(value: np.ndarray) -> bool:
    """Whether a constant is more than a shape, an axis or a single setting."""
    return value.dtype.kind == "f" and value.size > 1


def first(names: Iterable[str]) -> str | None:
    """The first of some names, or None."""
    return next(iter(names), None)
