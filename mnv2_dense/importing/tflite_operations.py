"""Operators of a .tflite file as operations of the neutral graph."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from mnv2_dense.errors import UserError
from mnv2_dense.importing.graph import Node
from mnv2_dense.importing.tflite_file import (
    MAX_OPERANDS,
    DamageError,
    TFLiteFile,
    bounded_range,
    find_name,
    read_indices,
    read_text,
    read_vector,
)

MAX_OPTIONS = 64
# A place in the schema's tables, which its generated code does not name.
CUSTOM_CODE = 6

PADDINGS = {0: "same", 1: "valid"}


def _window(options: Any) -> dict[str, Any]:
    return {
        "strides": _positive(options.StrideH(), options.StrideW()),
        "padding": PADDINGS[options.Padding()],
    }


def _positive(*sizes: int) -> tuple[int, ...]:
    if min(sizes) < 1:
        raise DamageError(f"a stride, dilation or kernel of {min(sizes)}")
    return sizes


def _conv2d(options: Any) -> dict[str, Any]:
    dilations = _positive(options.DilationHFactor(), options.DilationWFactor())
    return {"layout": "OHWI", "dilations": dilations, **_window(options)}


def _depthwise_conv2d(options: Any) -> dict[str, Any]:
    if options.DepthMultiplier() != 1:
        raise UserError(f"depth multiplier {options.DepthMultiplier()} is not supported; only 1 is")
    return {**_conv2d(options), "layout": "1HWC"}


def _dense(options: Any) -> dict[str, Any]:
    if options.WeightsFormat():
        raise UserError("shuffled weights are not supported")
    return {"layout": "OI", "keep_num_dims": options.KeepNumDims()}


def _avg_pool(options: Any) -> dict[str, Any]:
    return {"kernel": _positive(options.FilterHeight(), options.FilterWidth()), **_window(options)}


def _resize_bilinear(options: Any) -> dict[str, Any]:
    return {
        "align_corners": options.AlignCorners(),
        "half_pixel_centers": options.HalfPixelCenters(),
    }


# By canonical operation: the table of its options, and what is taken from there.
OPTIONS: Mapping[str, tuple[str, Callable[[Any], dict[str, Any]]]] = {
    "conv2d": ("Conv2DOptions", _conv2d),
    "depthwise_conv2d": ("DepthwiseConv2DOptions", _depthwise_conv2d),
    "dense": ("FullyConnectedOptions", _dense),
    "avg_pool": ("Pool2DOptions", _avg_pool),
    "mean": ("ReducerOptions", lambda options: {"keep_dims": options.KeepDims()}),
    "resize_bilinear": ("ResizeBilinearOptions", _resize_bilinear),
    "concat": ("ConcatenationOptions", lambda options: {"axis": options.Axis()}),
    "softmax": ("SoftmaxOptions", lambda options: {"beta": options.Beta()}),
}
# By the file's name; others are in lower case here: `RELU6` is `relu6`.
OPERATIONS = {
    "CONV_2D": "conv2d",
    "DEPTHWISE_CONV_2D": "depthwise_conv2d",
    "FULLY_CONNECTED": "dense",
    "AVERAGE_POOL_2D": "avg_pool",
    "CONCATENATION": "concat",
    "LOGISTIC": "sigmoid",
    "ADD_N": "add",
    "QUANTIZE": "identity",
    "DEQUANTIZE": "identity",
}
POST_PROCESS = "TFLite_Detection_PostProcess"
# Least and most inputs.
INPUTS = {
    "conv2d": (2, 3),
    "depthwise_conv2d": (2, 3),
    "dense": (2, 3),
    "add": (2, MAX_OPERANDS),
    "concat": (1, MAX_OPERANDS),
    **dict.fromkeys(("sub", "mul", "div", "mean", "resize_bilinear"), (2, 2)),
    **dict.fromkeys(("space_to_batch_nd", "batch_to_space_nd", "detection_post_process"), (3, 3)),
    **dict.fromkeys(("relu", "relu6", "sigmoid", "softmax", "identity", "avg_pool"), (1, 1)),
}


def find_operation(file: TFLiteFile, operator: Any) -> tuple[str, str]:
    """The file's name of an operation, and ours.

    Raises:
        DamageError: It has none.
    """
    if operator.OpcodeIndex() >= file.model.OperatorCodesLength():
        raise DamageError("an operation that it does not list is used")
    code = file.model.OperatorCodes(operator.OpcodeIndex())
    # Old files fill in only the older of the two fields; new ones limit it to 127.
    number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
    builtin = find_name(file.schema.BuiltinOperator, number)
    if builtin != "CUSTOM":
        return builtin, OPERATIONS.get(builtin, builtin.lower())
    custom = read_text(code, CUSTOM_CODE)
    return builtin, "detection_post_process" if custom == POST_PROCESS else f"custom_{custom}"


def read_node(file: TFLiteFile, operator: Any, op: str, unnamed: str) -> Node:
    """An operator in the neutral form, without the activation that is fused into it.

    Args:
        file: The opened file.
        operator: Its table.
        op: Our name of the operation.
        unnamed: What to call it where it makes nothing.

    Raises:
        UserError: It has options that are not supported.
        DamageError: It has too many inputs, or too few.
    """
    inputs, outputs = read_indices(file, operator, "In"), read_indices(file, operator, "Out")
    while inputs and inputs[-1] == -1:
        inputs.pop()
    made = tuple(file.names[index] for index in outputs)
    name = made[0] if made else unnamed
    if -1 in inputs or -1 in outputs:
        raise UserError(f"{file.source}: {name} ({op}) leaves out an input before its last")
    if not _takes(op, len(inputs), len(made)):
        raise DamageError(f"{name} ({op}) has {len(inputs)} inputs and {len(made)} outputs")
    try:
        attributes = _attributes(file, operator, op)
    except UserError as error:
        raise UserError(f"{file.source}: {name} ({op}): {error}") from error
    return Node(op, name, tuple(file.names[index] for index in inputs), made, attributes)


def _takes(op: str, inputs: int, outputs: int) -> bool:
    """Whether an operation may have so many inputs and outputs."""
    if op not in INPUTS:
        return True
    least, most = INPUTS[op]
    return least <= inputs <= most and outputs > 0


def _attributes(file: TFLiteFile, operator: Any, op: str) -> dict[str, Any]:
    if op == "detection_post_process":
        return _post_process_options(read_vector(operator, "CustomOptions").tobytes())
    if op not in OPTIONS:
        return {}
    expected, read = OPTIONS[op]
    options = read_options(file, operator)
    if type(options).__name__ != expected:
        raise DamageError(f"{op} without its options")
    return read(options)


def read_options(file: TFLiteFile, operator: Any) -> Any:
    """The table of an operator's options, None where it has none."""
    table = operator.BuiltinOptions()
    kind = find_name(file.schema.BuiltinOptions, operator.BuiltinOptionsType())
    if table is None or kind == "NONE":
        return None
    options = getattr(file.schema, kind)()
    options.Init(table.Bytes, table.Pos)
    return options


def _post_process_options(content: bytes) -> dict[str, Any]:
    """Numbers by name; nothing else, since nested values could be endless."""
    from flatbuffers import flexbuffers

    entries = flexbuffers.GetRoot(content).AsMap
    bounded_range(len(entries), "options", MAX_OPTIONS)
    keys = entries.Keys
    found = {keys[i].AsKey: entries.Values[i] for i in range(len(entries))}
    if not all(value.IsBool or value.IsNumeric for value in found.values()):
        raise DamageError(f"{POST_PROCESS} has an option that is no number")
    numbers = {name: value.Value for name, value in found.items()}
    if not all(map(math.isfinite, numbers.values())):
        raise DamageError(f"{POST_PROCESS} has an option that is NaN or infinite")
    return numbers
