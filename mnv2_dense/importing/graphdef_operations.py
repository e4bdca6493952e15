"""Operations of TensorFlow as those of the neutral graph; fused ones come apart."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from mnv2_dense.errors import UserError
from mnv2_dense.importing.graph import Node, first
from mnv2_dense.importing.graphdef_attributes import (
    bias_attributes,
    convolution_attributes,
    dense_attributes,
    norm_attributes,
    plain_attributes,
    pool_attributes,
    read_texts,
    resize_attributes,
)
from mnv2_dense.importing.graphdef_message import Message


class _Rule(NamedTuple):
    """How an operation is called here, the least and the most it reads, and its attributes."""

    op: str
    least: int
    most: int
    attributes: Callable[[Message], dict[str, Any]] = plain_attributes


_MANY = 2**31
_CONV = _Rule("conv2d", 2, 2, convolution_attributes("HWIO"))
_DEPTHWISE = _Rule("depthwise_conv2d", 2, 2, convolution_attributes("HWCM"))
_MATMUL = _Rule("dense", 2, 2, dense_attributes)
_RULES = {
    "Conv2D": _CONV,
    "DepthwiseConv2dNative": _DEPTHWISE,
    "MatMul": _MATMUL,
    **dict.fromkeys(
        ("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"),
        _Rule("batch_norm", 5, 5, norm_attributes),
    ),
    **dict.fromkeys(("Add", "AddV2"), _Rule("add", 2, 2)),
    "AddN": _Rule("add", 2, _MANY),
    "BiasAdd": _Rule("add", 2, 2, bias_attributes),
    "Sub": _Rule("sub", 2, 2),
    "Mul": _Rule("mul", 2, 2),
    **dict.fromkeys(("Div", "RealDiv"), _Rule("div", 2, 2)),
    **{
        name: _Rule(name.lower(), 1, 1) for name in ("Rsqrt", "Relu", "Relu6", "Sigmoid", "Softmax")
    },
    **dict.fromkeys(
        ("Identity", "StopGradient", "CheckNumerics", "PlaceholderWithDefault"),
        _Rule("identity", 1, 1),
    ),
    "AvgPool": _Rule("avg_pool", 1, 1, pool_attributes),
    "Mean": _Rule("mean", 2, 2),
    "ResizeBilinear": _Rule("resize_bilinear", 2, 2, resize_attributes),
    **dict.fromkeys(("Concat", "ConcatV2"), _Rule("concat", 2, _MANY)),
    "SpaceToBatchND": _Rule("space_to_batch_nd", 3, 3),
    "BatchToSpaceND": _Rule("batch_to_space_nd", 3, 3),
}
_OURS = {rule.op for rule in _RULES.values()} | {"detection_post_process"}

# What TensorFlow's graph optimizer makes of a layer: the operation, then those in `fused_ops`.
_FUSED = {
    **dict.fromkeys(("FusedConv2D", "_FusedConv2D"), _CONV),
    **dict.fromkeys(("FusedDepthwiseConv2dNative", "_FusedDepthwiseConv2dNative"), _DEPTHWISE),
    "_FusedMatMul": _MATMUL,
}
# Their names here, and how many further inputs each takes.
_STEPS = {
    "BiasAdd": ("add", 1),
    "Add": ("add", 1),
    "FusedBatchNorm": ("batch_norm", 4),
    "Relu": ("relu", 0),
    "Relu6": ("relu6", 0),
}


def translate(
    node: Message,
    inputs: tuple[str, ...],
    outputs: tuple[str, ...],
    constants: Mapping[str, np.ndarray],
) -> list[Node]:
    """A node in the neutral form; several where it is a fused one.

    The axis of a concatenation becomes an attribute and is no input any more.

    Args:
        node: A NodeDef.
        inputs: Tensors it reads.
        outputs: Tensors it makes.
        constants: All of the graph's, by name.

    Raises:
        UserError: It is damaged, or no layer that can be taken over.
    """
    rule = _FUSED.get(node.op) or _RULES.get(node.op) or _Rule(_snake(node), 0, _MANY)
    if (rule.op in _OURS) and outputs != (node.name,):
        raise UserError(f"damaged: {outputs[-1]} is read, but {node.name} has a single output")
    if node.op in _FUSED:
        return list(_expand(node, rule, inputs))
    if not rule.least <= len(inputs) <= rule.most:
        raise UserError(f"damaged: {node.name} ({node.op}) reads {len(inputs)} tensors")
    attributes = rule.attributes(node)
    if rule.op == "concat":
        place = 0 if node.op == "Concat" else len(inputs) - 1
        attributes = {"axis": _axis(node, inputs[place], constants)}
        inputs = inputs[:place] + inputs[place + 1 :]
    return [Node(rule.op, node.name, inputs, outputs, attributes)]


def _axis(node: Message, axis: str, constants: Mapping[str, np.ndarray]) -> int:
    value = constants.get(axis)
    if value is None or value.size != 1 or value.dtype.kind not in "iu":
        raise UserError(f"{node.name}: the axis {axis} is no constant integer")
    return int(value.item())


def _snake(node: Message) -> str:
    """NonMaxSuppressionV3 as non_max_suppression_v3."""
    name = re.sub("(?<=[a-z])(?=[A-Z])|(?<=[A-Z0-9])(?=[A-Z][a-z])", "_", node.op).lower()
    if name in _OURS:
        raise UserError(f"{node.name}: TensorFlow has no operation {node.op}")
    return name


def _expand(node: Message, rule: _Rule, inputs: tuple[str, ...]) -> Iterator[Node]:
    """A fused layer as the layers that it was made of."""
    steps = _read_steps(node, len(inputs))
    # "#" is in no name of TensorFlow's, so the tensors between are nobody else's.
    made = [f"{node.name}#{index}" for index in range(len(steps))] + [node.name]
    yield Node(rule.op, made[0], inputs[:2], (made[0],), rule.attributes(node))
    rest = inputs[2:]
    for before, name, step in zip(made, made[1:], steps, strict=False):
        op, count = _STEPS[step]
        attributes = norm_attributes(node) if op == "batch_norm" else {}
        yield Node(op, name, (before, *rest[:count]), (name,), attributes)
        rest = rest[count:]


def _read_steps(node: Message, count: int) -> list[str]:
    """What is fused with a layer that reads so many tensors."""
    steps = read_texts(node, "fused_ops")
    if unknown := first(name for name in steps if name not in _STEPS):
        raise UserError(f"{node.name}: {unknown} fused with {node.op} cannot be read")
    taken = 2 + sum(_STEPS[name][1] for name in steps)
    if count != taken:
        raise UserError(f"damaged: {node.name} ({node.op}) reads {count} tensors, not {taken}")
    return steps
