"""What a frozen graph says about an operation, as the neutral form's attributes."""

from collections.abc import Callable
from typing import Any

from mnv2_dense.errors import UserError
from mnv2_dense.importing.graph import MAX_NAME, printable
from mnv2_dense.importing.graphdef_message import Message

# Numbers of `types.proto`. The bytes of an int8 input are not known: it has no zero point here.
_DTYPES = {
    1: "float32",
    2: "float64",
    3: "int32",
    4: "uint8",
    5: "int16",
    7: "string",
    9: "int64",
    14: "bfloat16",
    17: "uint16",
    19: "float16",
}


def read_attribute(node: Message, name: str, kind: str, default: Any) -> Any:
    """An attribute's value, or the default where the node has none.

    Args:
        node: A NodeDef.
        name: The attribute's.
        kind: The field of its message.
        default: TensorFlow's own.

    Raises:
        UserError: It is of another kind.
    """
    if name not in node.attr:
        return default
    if node.attr[name].WhichOneof("value") != kind:
        raise UserError(f"damaged: the attribute {name} of {node.name} is of another type")
    return getattr(node.attr[name], kind)


def read_dtype(node: Message) -> str:
    """The type of what is fed, by numpy's name; a number of `types.proto` for rare ones."""
    number = read_attribute(node, "dtype", "type", 1)
    return _DTYPES.get(number, f"type {number}")


def read_texts(node: Message, name: str) -> list[str]:
    """An attribute that is a list of texts, without characters that would act on a terminal."""
    listed = read_attribute(node, name, "list", None)
    return [_text(each) for each in (() if listed is None else listed.s)]


def _text(value: bytes) -> str:
    return printable(value[:MAX_NAME].decode("latin-1"))


# By operation. Each raises UserError for what is no layer that can be taken over.


def convolution_attributes(layout: str) -> Callable[[Message], dict[str, Any]]:
    """Of a convolution whose weights have this layout."""

    def attributes(node: Message) -> dict[str, Any]:
        _check_layout(node)
        strides, dilations = _sides(node, "strides"), _sides(node, "dilations")
        sides = {"strides": strides, "dilations": dilations, "padding": _padding(node)}
        return {"layout": layout, **sides}

    return attributes


def pool_attributes(node: Message) -> dict[str, Any]:
    """Of an average over windows."""
    _check_layout(node)
    sides = {"kernel": _sides(node, "ksize"), "strides": _sides(node, "strides")}
    return {**sides, "padding": _padding(node)}


def norm_attributes(node: Message) -> dict[str, Any]:
    """Of a batch norm, or of a fused layer that ends in one."""
    _check_layout(node)
    # TensorFlow's own default is True. Fused operations have no such attribute.
    if read_attribute(node, "is_training", "b", node.op.startswith("FusedBatchNorm")):
        raise UserError(
            f"{node.name}: a batch norm in training mode; export the graph for inference"
        )
    return {"epsilon": read_attribute(node, "epsilon", "f", 1e-4)}


def dense_attributes(node: Message) -> dict[str, Any]:
    """Of a product of matrices."""
    if read_attribute(node, "transpose_a", "b", False):
        raise UserError(f"{node.name}: a transposed input (transpose_a) cannot be read")
    return {"layout": "OI" if read_attribute(node, "transpose_b", "b", False) else "IO"}


def resize_attributes(node: Message) -> dict[str, Any]:
    """Of a bilinear resize."""
    return {
        name: read_attribute(node, name, "b", False)
        for name in ("align_corners", "half_pixel_centers")
    }


def bias_attributes(node: Message) -> dict[str, Any]:
    """None; but the channels must be last."""
    _check_layout(node)
    return {}


def plain_attributes(node: Message) -> dict[str, Any]:
    """Those attributes that are numbers, truth values, texts, shapes or lists of integers."""
    simple = {name: _simple(value) for name, value in node.attr.items()}
    return {name: value for name, value in simple.items() if value is not None}


def _simple(value: Message) -> Any:
    kind = value.WhichOneof("value")
    if kind in ("i", "f", "b"):
        return getattr(value, kind)
    if kind == "s":
        return _text(value.s)
    if kind == "shape" and not value.shape.unknown_rank:
        return tuple(dim.size for dim in value.shape.dim)
    return tuple(value.list.i) if kind == "list" and value.list.i else None


def _check_layout(node: Message) -> None:
    layout = read_attribute(node, "data_format", "s", b"NHWC")
    if layout != b"NHWC":
        raise UserError(f"{node.name}: data_format {_text(layout)}; only NHWC can be read")


def _padding(node: Message) -> str:
    padding = _text(read_attribute(node, "padding", "s", b"none"))
    if padding not in ("SAME", "VALID"):
        raise UserError(f"{node.name}: padding {padding}; only SAME and VALID can be read")
    return padding.lower()


def _sides(node: Message, name: str) -> tuple[int, int]:
    """Height and width of an attribute [1, height, width, 1]."""
    listed = read_attribute(node, name, "list", None)
    values = (1, 1, 1, 1) if listed is None else tuple(listed.i)
    if len(values) != 4 or values[0] != 1 or values[3] != 1 or min(values) < 1:
        raise UserError(
            f"{node.name}: {name} {list(values[:8])}; [1, height, width, 1] is what can be read"
        )
    return values[1], values[2]
