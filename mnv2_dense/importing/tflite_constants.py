"""The constants of a .tflite file; quantised ones become float32."""

import math
from typing import NamedTuple

import numpy as np

from mnv2_dense.errors import UserError
from mnv2_dense.importing.graph import check_finite
from mnv2_dense.importing.tflite_file import (
    MAX_REUSE,
    MAX_VALUES,
    DamageError,
    LimitError,
    TFLiteFile,
    check_reuse,
    read_kind,
    read_shape,
    read_vector,
)

FLOATS = {"FLOAT32": "<f4", "FLOAT16": "<f2"}
INTEGERS = {"UINT8": "u1", "INT8": "i1", "INT16": "<i2", "INT32": "<i4", "INT64": "<i8"}
DTYPES = {**FLOATS, **INTEGERS, "BOOL": "?"}


class Steps(NamedTuple):
    """How integers stand for values: value = scale * (stored - zero_point).

    Attributes:
        scale: One, or one per place along `axis`.
        zero_point: The same, or one for all.
        axis: Of the tensor.
    """

    scale: np.ndarray
    zero_point: np.ndarray
    axis: int


def read_steps(file: TFLiteFile, index: int) -> Steps | None:
    """How a tensor's integers stand for values; None where they are values themselves.

    Raises:
        UserError: It is quantised in another way.
    """
    table = file.part.Tensors(index).Quantization()
    if table is None:
        return None
    name = file.names[index]
    if table.DetailsType():
        raise UserError(f"{file.source}: {name} is quantised in a way of its own, not by steps")
    scale, zero_point = read_vector(table, "Scale"), read_vector(table, "ZeroPoint")
    if not len(scale):
        return None
    if not len(zero_point):
        zero_point = np.zeros(1, np.int64)
    if len(zero_point) not in (1, len(scale)):
        raise DamageError(f"{name} has {len(scale)} steps and {len(zero_point)} zero points")
    return Steps(scale, zero_point, table.QuantizedDimension())


def read_constants(file: TFLiteFile) -> tuple[dict[str, np.ndarray], bool]:
    """Constants by name, floats as float32; and whether any was quantised.

    Raises:
        UserError: The values are not in the tables, sparse, of another type, NaN or infinite.
        DamageError: They contradict their shapes, or are listed too often.
        LimitError: There are too many of them.
    """
    constants: dict[str, np.ndarray] = {}
    quantized, left, values = False, file.size * MAX_REUSE, 0
    for index, name in enumerate(file.names):
        content = _content(file, index)
        if not len(content):
            continue
        left -= len(content)
        check_reuse(left, "tensors")
        stored = _stored(file, index, content)
        values += stored.size
        if values > MAX_VALUES:
            raise LimitError(f"its constants hold more than {MAX_VALUES} numbers")
        steps = read_steps(file, index) if stored.dtype.kind in "iu" else None
        constants[name] = _dequantize(stored, steps, name) if steps else stored
        check_finite(f"{file.source}: {name}", constants[name])
        quantized |= steps is not None
    return constants, quantized


def _content(file: TFLiteFile, index: int) -> np.ndarray:
    """The bytes of a constant; empty for what is computed."""
    tensor, name = file.part.Tensors(index), file.names[index]
    if tensor.Buffer() >= file.model.BuffersLength():
        raise DamageError(f"{name} has no buffer")
    buffer = file.model.Buffers(tensor.Buffer())
    # Offsets up to 1 are the converter's own marks for no data outside of the tables.
    if tensor.ExternalBuffer() or buffer.Offset() > 1:
        raise UserError(f"{file.source}: the values of {name} are outside of the file's tables")
    if tensor.Sparsity() is not None:
        raise UserError(f"{file.source}: {name} is sparse; convert the network without sparsity")
    return read_vector(buffer, "Data")


def _stored(file: TFLiteFile, index: int, content: np.ndarray) -> np.ndarray:
    """A constant as the file holds it, in its shape; floats as float32."""
    kind, name = read_kind(file, index), file.names[index]
    if kind not in DTYPES:
        allowed = ", ".join(DTYPES).lower()
        raise UserError(f"{file.source}: {name} is of type {kind.lower()}; allowed: {allowed}")
    dtype, shape = np.dtype(DTYPES[kind]), read_shape(file.part.Tensors(index))
    if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != len(content):
        raise DamageError(f"{name} has {len(content)} bytes for shape {list(shape)} of {kind}")
    # A byte other than 0 and 1 is no bool to numpy.
    values = content != 0 if kind == "BOOL" else content.view(dtype)
    return values.astype(np.float32 if kind in FLOATS else dtype).reshape(shape)


def _dequantize(stored: np.ndarray, steps: Steps, name: str) -> np.ndarray:
    """The float32 values that stored integers stand for."""
    scale, zero_point, axis = steps
    along = [1] * stored.ndim
    if len(scale) > 1:
        if not 0 <= axis < stored.ndim or stored.shape[axis] != len(scale):
            raise DamageError(f"{name} has {len(scale)} steps for shape {list(stored.shape)}")
        along[axis] = -1
    if (scale < 0).any():
        raise DamageError(f"{name} is quantised in negative steps")
    # In float64: an int32 bias has more digits than float32.
    zero_point = zero_point.astype(np.float64).reshape(along if len(zero_point) > 1 else ())
    scale = scale.astype(np.float64).reshape(along if len(scale) > 1 else ())
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray((stored - zero_point) * scale).astype(np.float32)
