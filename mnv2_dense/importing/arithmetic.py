"""Operations on constants as TensorFlow defines them, bounded in what they may make."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from mnv2_dense.importing.graph import MAX_RANK, Node, is_numeric

MAX_ELEMENTS = 2**22
"""Values that one operation may make, if they are more than it is given."""

Values = Sequence[np.ndarray]
Attributes = Mapping[str, Any]


def compute(node: Node, values: Values) -> np.ndarray | None:
    """What an operation makes of values; None if it is not known here, or makes too much."""
    operation = _OPERATIONS.get(node.op)
    # Texts would be joined, and repeated, without a bound.
    if operation is None or not values or not all(is_numeric(each) for each in values):
        return None
    try:
        if _count(node, values) > max(MAX_ELEMENTS, *(each.size for each in values)):
            return None
        with np.errstate(all="ignore"):
            return np.asarray(operation(values, node.attributes))
    except (ValueError, TypeError, IndexError, KeyError, OverflowError):
        return None  # inputs that do not go together


def _count(node: Node, values: Values) -> int:
    """How many values come out, or are added up on the way, before they are made."""
    if node.op in _ELEMENTWISE:
        size = math.prod(np.broadcast_shapes(*(each.shape for each in values)))
        return size * max(len(values) - 1, 1)
    if node.op == "fill":
        return math.prod(_integers(values[0]))
    if node.op == "tile":
        return values[0].size * math.prod(_integers(values[1]))
    if node.op == "range":
        start, limit, delta = (float(each.item()) for each in values)
        return math.ceil((limit - start) / delta) if delta else MAX_ELEMENTS + 1
    return sum(each.size for each in values)


def _integers(value: np.ndarray) -> list[int]:
    if value.dtype.kind not in "iu" or value.ndim > 1 or value.size > MAX_RANK:
        raise ValueError("no integers for the dimensions of a tensor")
    return [int(each) for each in value.ravel()]


def _divide(values: Values, _attributes: Attributes) -> np.ndarray:
    if any(each.dtype.kind != "f" for each in values):
        raise ValueError("divisions of integers round in several ways")
    return np.divide(*values)


def _cast(values: Values, _attributes: Attributes) -> np.ndarray:
    # What it is cast to is not kept. Where constants are cast, it is for a division.
    if values[0].dtype.kind not in "iuf":
        raise ValueError("a cast of other than numbers")
    return values[0].astype(np.float32)


def _slice(values: Values, _attributes: Attributes) -> np.ndarray:
    data, begins, sizes = values[0], _integers(values[1]), _integers(values[2])
    ends = [None if size < 0 else at + size for at, size in zip(begins, sizes, strict=True)]
    return data[tuple(slice(at, end) for at, end in zip(begins, ends, strict=True))]


def _strided_slice(values: Values, attributes: Attributes) -> np.ndarray:
    if attributes.get("ellipsis_mask") or attributes.get("new_axis_mask"):
        raise ValueError("masks that are not known here")
    masks = [int(attributes.get(f"{each}_mask", 0)) for each in ("begin", "end", "shrink_axis")]
    taken: list[slice | int] = []
    sides = zip(*(_integers(each) for each in values[1:]), strict=True)
    for place, (begin, end, step) in enumerate(sides):
        free_begin, free_end, shrunk = (mask >> place & 1 for mask in masks)
        part = slice(None if free_begin else begin, None if free_end else end, step)
        taken.append(begin if shrunk else part)
    return values[0][tuple(taken)]


def _squeeze(values: Values, attributes: Attributes) -> np.ndarray:
    axes = attributes.get("squeeze_dims", attributes.get("axis"))
    return np.squeeze(values[0], None if axes is None else tuple(axes))


_ELEMENTWISE = ("add", "sub", "mul", "div", "minimum", "maximum")
_OPERATIONS: dict[str, Callable[[Values, Attributes], Any]] = {
    "identity": lambda values, _: values[0],
    "enter": lambda values, _: values[0],
    "add": lambda values, _: sum(values[1:], values[0]),
    "sub": lambda values, _: np.subtract(*values),
    "mul": lambda values, _: np.multiply(*values),
    "div": _divide,
    "minimum": lambda values, _: np.minimum(*values),
    "maximum": lambda values, _: np.maximum(*values),
    "rsqrt": lambda values, _: 1 / np.sqrt(values[0]),
    "sqrt": lambda values, _: np.sqrt(values[0]),
    "cast": _cast,
    "shape": lambda values, _: np.array(values[0].shape, np.int32),
    "rank": lambda values, _: np.int32(values[0].ndim),
    "size": lambda values, _: np.int32(values[0].size),
    "range": lambda values, _: np.arange(*(each.item() for each in values), dtype=values[0].dtype),
    "fill": lambda values, _: np.full(_integers(values[0]), values[1].item(), values[1].dtype),
    "tile": lambda values, _: np.tile(values[0], _integers(values[1])),
    "pack": lambda values, attributes: np.stack(values, int(attributes.get("axis", 0))),
    "concat": lambda values, attributes: np.concatenate(values, int(attributes["axis"])),
    "slice": _slice,
    "strided_slice": _strided_slice,
    "squeeze": _squeeze,
    "expand_dims": lambda values, _: np.expand_dims(values[0], values[1].item()),
    "reshape": lambda values, _: values[0].reshape(_integers(values[1])),
    "transpose": lambda values, _: values[0].transpose(_integers(values[1])),
}
