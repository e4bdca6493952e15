"""The way of a picture through a graph to the first convolution, operation by operation."""

from collections import defaultdict
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from mnv2_dense.errors import UserError
from mnv2_dense.importing.constants import Constant
from mnv2_dense.importing.graph import Graph, Node
from mnv2_dense.importing.layers import is_per_channel

RESIZES = ("resize_bilinear", "resize_nearest_neighbor", "resize_bicubic", "resize_area")
PADS = ("pad", "pad_v2")
_AFFINE = ("add", "sub", "mul", "div")
_KEEPING = ("identity", "cast", "squeeze", "expand_dims", "reshape")
_LOOPS = ("enter", "switch", "exit", "next_iteration")
# The picture may be any of their inputs; of all other operations it is the first.
_JOINING = (
    "merge",
    *(
        f"tensor_array_{what}{version}"
        for what in ("scatter", "read", "write", "gather")
        for version in ("", "_v2", "_v3")
    ),
)
_WITHOUT_DATA = ("shape", "shape_n", "size", "rank", "tensor_array_size")
_TOLERANCE = 1e-4
"""Of normalised values, when a padding's value is compared to the mean."""


class Affine(NamedTuple):
    """value = scale * x + offset, per channel: float64 [3] each."""

    scale: np.ndarray
    offset: np.ndarray


class PicturePath(NamedTuple):
    """How a picture comes to the first convolution.

    Attributes:
        fed: Name of the graph's input that it comes from.
        change: From the input's values to what the convolution reads.
        sizing: The operations that resize or pad it, in their order.
    """

    fed: str
    change: Affine
    sizing: tuple[Node, ...]


def follow_picture(graph: Graph, tensor: str, constants: Mapping[str, Constant]) -> PicturePath:
    """Goes from a tensor back to the input, along what holds pictures.

    Args:
        graph: The file.
        tensor: What the first convolution reads.
        constants: The file's, and what it computes from them alone.

    Raises:
        UserError: No input or more than one leads there, or an operation on the way is not
            known to leave channels and values alone but for a normalisation per channel.
    """
    makers = {output: node for node in graph.nodes for output in node.outputs}
    holding = _holding(graph)
    seen: dict[str, Affine] = {}
    sizing: dict[str, Node] = {}
    # What does not depend on an input is not gone through, so that none is found.
    ahead = [(tensor, Affine(np.ones(3), np.zeros(3)))] if tensor in holding else []
    while ahead:
        name, change = ahead.pop()
        if name in seen:
            _check_same(graph, name, seen[name], change)
            continue
        seen[name] = change
        if name not in makers:
            continue
        node = makers[name]
        change, sizes = _step(graph, node, holding, constants, change)
        if sizes:
            sizing[node.name] = node
        ahead += [(each, change) for each in _pictures(node) if each in holding]
    fed = [name for name in seen if name in graph.inputs]
    if len(fed) != 1:
        raise UserError(
            f"{graph.source}: {len(fed)} of the file's inputs lead to the first convolution; one "
            "input of pictures can be taken over"
        )
    return PicturePath(fed[0], seen[fed[0]], tuple(reversed(sizing.values())))


def _holding(graph: Graph) -> set[str]:
    """The tensors that depend on what is fed by more than its shape."""
    readers: defaultdict[str, list[Node]] = defaultdict(list)
    for node in graph.nodes:
        for name in node.inputs:
            readers[name].append(node)
    found, ahead = {*graph.inputs}, [*graph.inputs]
    while ahead:
        # Each only once: every list of readers is gone through when its tensor is found.
        for node in readers.pop(ahead.pop(), []):
            if node.op.removesuffix("_v3").removesuffix("_v2") in _WITHOUT_DATA:
                continue
            if node.outputs and node.outputs[0] not in found:
                ahead += node.outputs
                found.update(node.outputs)
    return found


def _pictures(node: Node) -> tuple[str, ...]:
    """The inputs that may hold pictures, not sizes or conditions."""
    joins = node.op in (*_JOINING, *_AFFINE)
    return tuple(dict.fromkeys(node.inputs)) if joins else node.inputs[:1]


def _check_same(graph: Graph, name: str, first: Affine, second: Affine) -> None:
    if not np.allclose(np.array(first), np.array(second), rtol=1e-6, atol=1e-6):
        raise UserError(
            f"{graph.source}: {name} comes to the first convolution in two ways that change "
            "its values differently, which no config value stands for"
        )


def _step(
    graph: Graph,
    node: Node,
    holding: set[str],
    constants: Mapping[str, Constant],
    change: Affine,
) -> tuple[Affine, bool]:
    """The change from an operation's input on, and whether it changes the picture's size.

    `change` is that from its output on.
    """
    if node.op in _AFFINE:
        return _affine(graph, node, holding, constants, change), False
    if node.op in PADS:
        return change, _pads(graph, node, constants, change)
    if node.op not in (*_KEEPING, *_LOOPS, *_JOINING, *RESIZES):
        raise UserError(
            f"{graph.source}: {node.name} ({node.op}) changes pictures before the network, which "
            "no config value stands for; resizing, padding with the mean and a normalisation per "
            "channel are allowed, so export the graph without it"
        )
    return change, node.op in RESIZES


def _affine(
    graph: Graph,
    node: Node,
    holding: set[str],
    constants: Mapping[str, Constant],
    change: Affine,
) -> Affine:
    scale, offset = change
    place, value = _operands(graph, node, holding, constants)
    if node.op == "mul":
        return Affine(scale * value, offset)
    if node.op == "div":
        return Affine(scale / value, offset)
    if node.op == "add":
        return Affine(scale, offset + scale * value)
    if place == 0:
        return Affine(scale, offset - scale * value)
    return Affine(-scale, offset + scale * value)


def _operands(
    graph: Graph, node: Node, holding: set[str], constants: Mapping[str, Constant]
) -> tuple[int, np.ndarray]:
    """Place of the picture among an operation's two inputs, and the value of the other one."""
    places = [place for place, name in enumerate(node.inputs) if name in holding]
    given = [constants[name].value for name in node.inputs if name in constants]
    known = len(places) == len(given) == 1 and len(node.inputs) == 2 and _per_channel(given[0])
    if not known or (node.op == "div" and places == [1]):
        raise UserError(
            f"{graph.source}: {node.name} changes pictures before the network by something other "
            "than a constant per channel, which no config value stands for"
        )
    value = given[0].astype(np.float64).ravel()
    if node.op in ("mul", "div") and not (np.isfinite(value).all() and value.all()):
        raise UserError(f"{graph.source}: {node.name} makes nothing of pictures: a factor of zero")
    return places[0], value


def _per_channel(value: np.ndarray) -> bool:
    return is_per_channel(value, 3)


def _pads(graph: Graph, node: Node, constants: Mapping[str, Constant], change: Affine) -> bool:
    """Whether a padding pads at all.

    Raises:
        UserError: It is none of pictures to a size with the mean, that is with normalised zeros.
    """
    pads = constants.get(node.inputs[1]) if len(node.inputs) > 1 else None
    if pads is not None and not pads.value.any():
        return False
    if pads is not None:
        raise UserError(
            f"{graph.source}: {node.name} pads every picture by the same margin before the "
            "network, which no config value stands for"
        )
    fill = constants.get(node.inputs[2]) if len(node.inputs) > 2 else None
    known = len(node.inputs) == 2 or (fill is not None and _per_channel(fill.value))
    filled = fill.value.astype(np.float64).ravel() if known and fill is not None else 0.0
    if not known or not np.all(abs(change.scale * filled + change.offset) < _TOLERANCE):
        raise UserError(
            f"{graph.source}: {node.name} pads pictures with another value than the "
            "normalisation's mean, which no config value stands for"
        )
    return True
