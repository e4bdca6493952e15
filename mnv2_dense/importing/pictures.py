"""What a graph does to a picture before the network: its size, resizing and normalisation."""

from collections.abc import Mapping
from typing import Literal, NamedTuple

import numpy as np

from mnv2_dense.errors import UserError
from mnv2_dense.importing.constants import Constant, decimal
from mnv2_dense.importing.graph import Graph, GraphInput, Node
from mnv2_dense.importing.picture_path import PADS, follow_picture
from mnv2_dense.structures import ImageSize

_SIDES = (1, 2)
RELEASE_MEAN = 127.5
"""Mean and deviation of the releases' normalisation, `x * 2 / 255 - 1`."""
_FLOATS = ("float16", "float32", "float64", "bfloat16")
# Bytes fit into them as they are. The bytes of int8 do only where the file says its zero point.
_INTEGERS = ("uint8", "int8", "uint16", "int16", "int32", "int64")

ResizeRule = Literal["bilinear", "legacy_bilinear", "align_corners"]


class Preparation(NamedTuple):
    """From a picture of bytes to what the first convolution reads.

    Attributes:
        mean: Subtracted from RGB values 0-255.
        std: They are divided by it after that.
        size: Of the network's input; None where the file leaves it open.
        resize: The rule of the one bilinear resize that is all that the graph does to a
            picture's size; None otherwise.
        sizing: The kinds of all operations that resize or pad pictures, in their order.
        assumed: Whether mean and std are not in the file, which is fed normalised pictures.
        nodes: Names of the operations before the first convolution.
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    size: ImageSize | None
    resize: ResizeRule | None
    sizing: tuple[str, ...]
    assumed: bool
    nodes: frozenset[str]


def read_preparation(graph: Graph, tensor: str, constants: Mapping[str, Constant]) -> Preparation:
    """What happens to a picture on its way to a tensor.

    Args:
        graph: The file.
        tensor: What the first convolution reads.
        constants: The file's, and what it computes from them alone.

    Raises:
        UserError: Pictures are fed, normalised or changed in a way that is not known here.
    """
    path = follow_picture(graph, tensor, constants)
    fed = graph.inputs[path.fed]
    _check_fed(graph, path.fed, fed)
    scale = path.change.scale * fed.scale
    offset = path.change.offset - scale * fed.zero_point
    if not (np.isfinite(scale).all() and (scale > 0).all()):
        raise UserError(f"{graph.source}: inverts pictures, which no config value stands for")
    unchanged = bool(np.all(scale == 1) and np.all(offset == 0))
    assumed = unchanged and fed.dtype in _FLOATS
    mean = np.full(3, RELEASE_MEAN) if assumed else 0.0 - offset / scale
    std = np.full(3, RELEASE_MEAN) if assumed else 1 / scale
    size, rule = _resizing(path.sizing, constants)
    return Preparation(
        _three(mean), _three(std), size or _fed_size(fed), rule,
        tuple(node.op for node in path.sizing), assumed,
        frozenset(node.name for node in _ancestors(graph, tensor)),
    )  # fmt: skip


def detector_resize(preparation: Preparation, source: str, notes: list[str]) -> ResizeRule:
    """The rule by which a detector's file resizes pictures; notes where one is assumed.

    Args:
        preparation: The file's.
        source: The file, for messages.
        notes: A note is added to them.

    Raises:
        UserError: Pictures are resized or padded in another way than by one bilinear resize.
    """
    if preparation.resize is not None:
        return preparation.resize
    if preparation.sizing:
        raise UserError(
            f"{source}: resizes pictures by {', '.join(preparation.sizing)}, which no config "
            "value stands for; one resize_bilinear to a size is allowed"
        )
    notes.append("the file is fed resized pictures; input.resize=bilinear is assumed")
    return "bilinear"


def note_resize(preparation: Preparation, notes: list[str]) -> None:
    """Notes a resize that a config without `input.resize` does not take over."""
    if any(op not in PADS for op in preparation.sizing):
        done = ", ".join(preparation.sizing)
        notes.append(f"the file resizes pictures by {done}; the config's own rule is used instead")


def _check_fed(graph: Graph, name: str, fed: GraphInput) -> None:
    if fed.dtype not in (*_FLOATS, *_INTEGERS):
        raise UserError(
            f"{graph.source}: {name}, the input, is of {fed.dtype}; pictures of bytes or floats "
            "are allowed, so export the graph with decoded pictures as its input"
        )
    if fed.shape is not None and len(fed.shape) == 4 and fed.shape[3] not in (None, 3):
        raise UserError(
            f"{graph.source}: {name}, the input, is of {fed.shape[3]} channels; pictures have 3"
        )


def _ancestors(graph: Graph, tensor: str) -> list[Node]:
    """Every operation that a tensor depends on, loops included."""
    makers = {output: node for node in graph.nodes for output in node.outputs}
    found: dict[str, Node] = {}
    open_names = [tensor]
    while open_names:
        node = makers.get(open_names.pop())
        if node is not None and node.name not in found:
            found[node.name] = node
            open_names.extend(node.inputs)
    return list(found.values())


def _resizing(
    sizing: tuple[Node, ...], constants: Mapping[str, Constant]
) -> tuple[ImageSize | None, ResizeRule | None]:
    if [node.op for node in sizing] != ["resize_bilinear"]:
        return None, None
    node = sizing[0]
    rule: ResizeRule = (
        "bilinear" if node.attributes.get("half_pixel_centers") else "legacy_bilinear"
    )
    if node.attributes.get("align_corners"):
        rule = "align_corners"
    size = constants.get(node.inputs[1])
    return (None if size is None else read_size(size.value)), rule


def read_size(value: np.ndarray) -> ImageSize | None:
    """Height and width that a constant holds; None where it is no size."""
    if value.size != 2 or value.dtype.kind not in "iu" or not (value > 0).all():
        return None
    return ImageSize(*(int(side) for side in value.ravel()))


def _fed_size(fed: GraphInput) -> ImageSize | None:
    """Height and width of the fed pictures, where the file fixes them."""
    if fed.shape is None or len(fed.shape) != 4:
        return None
    height, width = (fed.shape[side] for side in _SIDES)
    return ImageSize(height, width) if height and width else None


def _three(values: np.ndarray) -> tuple[float, float, float]:
    # As many digits as float32 has: 127.5, not 127.49999988.
    first, second, third = (decimal(value) for value in values)
    return first, second, third
