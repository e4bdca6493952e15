"""The constants of a frozen graph as arrays."""

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from mnv2_dense.errors import UserError
from mnv2_dense.importing.graph import MAX_RANK, check_finite, describe_shape
from mnv2_dense.importing.graphdef_attributes import read_attribute
from mnv2_dense.importing.graphdef_message import Message

MAX_REPEATED = 2**24
"""Elements of all constants that are not stored as bytes: one value may stand for many."""


class _Type(NamedTuple):
    name: str
    """Of numpy's type on disk."""
    field: str
    """Where values stand that are not stored as bytes."""


# By the number of the type in `types.proto`. The half types stand as bits in `half_val`.
_TYPES = {
    1: _Type("<f4", "float_val"),
    2: _Type("<f8", "double_val"),
    3: _Type("<i4", "int_val"),
    4: _Type("<u1", "int_val"),
    5: _Type("<i2", "int_val"),
    6: _Type("<i1", "int_val"),
    9: _Type("<i8", "int64_val"),
    10: _Type("?", "bool_val"),
    14: _Type("<u2", "half_val"),
    17: _Type("<u2", "int_val"),
    19: _Type("<u2", "half_val"),
    22: _Type("<u4", "uint32_val"),
    23: _Type("<u8", "uint64_val"),
}
_STRING, _BFLOAT16, _HALF = 7, 14, 19
_LISTED = {
    "float_val": np.float32,
    "double_val": np.float64,
    "bool_val": np.bool_,
    "uint64_val": np.uint64,
}
"""What holds listed numbers, where that is not int64."""


def read_constants(nodes: Iterable[Message]) -> dict[str, np.ndarray]:
    """The constants among some nodes, by name: floats as float32, others as they are.

    Raises:
        UserError: One is damaged, of another type, or too large.
    """
    constants: dict[str, np.ndarray] = {}
    repeated = 0
    for node in nodes:
        if node.op != "Const":
            continue
        tensor = read_attribute(node, "value", "tensor", None)
        if tensor is None:
            raise UserError(f"damaged: the constant {node.name} has no value")
        shape = _read_shape(node.name, tensor.tensor_shape)
        repeated += 0 if tensor.tensor_content else math.prod(shape)
        if repeated > MAX_REPEATED:
            raise UserError(
                f"damaged: {node.name} and others claim more elements than there are; at most "
                f"{MAX_REPEATED} are read where one value stands for many"
            )
        constants[node.name] = _read_values(node.name, tensor, shape)
    return constants


def _read_shape(name: str, shape: Message) -> tuple[int, ...]:
    sides = tuple(dim.size for dim in shape.dim[: MAX_RANK + 1])
    if shape.unknown_rank or len(sides) > MAX_RANK or any(side < 0 for side in sides):
        raise UserError(
            f"damaged: the constant {name} has no proper shape of at most {MAX_RANK} dimensions"
        )
    return sides


def _read_values(name: str, tensor: Message, shape: tuple[int, ...]) -> np.ndarray:
    try:
        values = _values(tensor, shape)
    except ValueError as error:
        raise UserError(f"{name}: {error}") from error
    # A single value may be infinite on purpose: a threshold or a bound.
    if values.size > 1:
        check_finite(name, values)
    return values


def _values(tensor: Message, shape: tuple[int, ...]) -> np.ndarray:
    """A constant's values; ValueError if there are none of this type, shape or range."""
    if tensor.dtype == _STRING:
        return _spread(np.array([*tensor.string_val, b""], dtype=object)[:-1], shape)
    if tensor.dtype not in _TYPES:
        raise ValueError(f"values of type {tensor.dtype}; only plain numbers can be read")
    stored = _TYPES[tensor.dtype]
    dtype = np.dtype(stored.name)
    if tensor.tensor_content:
        values = _whole(tensor.tensor_content, dtype, shape)
    else:
        given = getattr(tensor, stored.field)
        # Number by number: a list of Python's would take many times the file's size.
        listed = np.fromiter(given, _LISTED.get(stored.field, np.int64), len(given))
        if dtype.kind in "iu" and not np.array_equal(listed, listed.astype(dtype)):
            raise ValueError(f"values outside of the range of {dtype.name}; damaged")
        values = _spread(listed.astype(dtype), shape)
    return _floats(values, tensor.dtype)


def _whole(content: bytes, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    """Values that are stored as bytes, all of them."""
    size = math.prod(shape) * dtype.itemsize
    if len(content) != size:
        raise ValueError(
            f"{len(content)} bytes, where the shape {describe_shape(shape)} has {size}; damaged "
            "or truncated"
        )
    return np.frombuffer(content, dtype).reshape(shape)


def _spread(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Listed values in a shape: the last one stands for all that are not listed."""
    count = math.prod(shape)
    if len(values) > count:
        raise ValueError(
            f"{len(values)} values, where the shape {describe_shape(shape)} has {count}"
        )
    whole = np.zeros(count, values.dtype)
    whole[: len(values)] = values
    if len(values) > 0:
        whole[len(values) :] = values[-1]
    return whole.reshape(shape)


def _floats(values: np.ndarray, kind: int) -> np.ndarray:
    """Floats as float32, others as they are; always an array of its own, to be written to."""
    # Too large for float32, and odd NaNs: what comes of them is looked at afterwards.
    with np.errstate(over="ignore", invalid="ignore"):
        if kind == _BFLOAT16:
            return (values.astype(np.uint32) << 16).view(np.float32)
        if kind == _HALF:
            values = values.view("<f2")
        wanted = (
            np.dtype(np.float32) if values.dtype.kind == "f" else values.dtype.newbyteorder("=")
        )
        return values.astype(wanted)
