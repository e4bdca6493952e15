"""What a graph does to a picture before the network: its size, resizing and normalisation."""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np

from mnv2_dense.errors import UserError
from mnv2_dense.importing.constants import Constant, decimal
from mnv2_dense.importing.graph import Graph, Node
from mnv2_dense.structures import ImageSize

_MOVING = (
    "identity",
    "cast",
    "squeeze",
    "expand_dims",
    "reshape",
    "pad",
    "pad_v2",
    "slice",
    "strided_slice",
    "resize_bilinear",
    "resize_nearest_neighbor",
)
"""Operations that place values, or mix those of one channel with weights whose sum is 1."""
_AFFINE = ("add", "sub", "mul", "div")
_SIDES = (1, 2)
RELEASE_MEAN = 127.5
"""Mean and deviation of the releases' normalisation, `x * 2 / 255 - 1`."""

ResizeRule = Literal["bilinear", "legacy_bilinear", "align_corners"]


class Preparation(NamedTuple):
    """From a picture of bytes to what the first convolution reads.

    Attributes:
        mean: Subtracted from RGB values 0-255.
        std: They are divided by it after that.
        size: Of the network's input; None where the file leaves it open.
        resize: The rule by which the graph resizes pictures, or None.
        assumed: Whether mean and std are not in the file, which is fed normalised pictures.
        nodes: Names of the operations before the first convolution.
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    size: ImageSize | None
    resize: ResizeRule | None
    assumed: bool
    nodes: frozenset[str]


def read_preparation(graph: Graph, tensor: str, constants: Mapping[str, Constant]) -> Preparation:
    """What happens to a picture on its way to a tensor.

    Args:
        graph: The file.
        tensor: What the first convolution reads.
        constants: The file's, and what it computes from them alone.

    Raises:
        UserError: Pictures are normalised by a rule that is not known here.
    """
    makers = {output: node for node in graph.nodes for output in node.outputs}
    before = _ancestors(makers, tensor)
    scale, offset, at = _affine(graph, makers, tensor, constants)
    fed = graph.inputs.get(at)
    if fed is not None:
        scale, offset = scale * fed.scale, offset - scale * fed.scale * fed.zero_point
    assumed = bool(np.all(scale == 1) and np.all(offset == 0))
    mean = np.full(3, RELEASE_MEAN) if assumed else -offset / scale
    std = np.full(3, RELEASE_MEAN) if assumed else 1 / scale
    size, rule = _resizing(before, constants)
    return Preparation(
        _three(mean), _three(std), size or _fed_size(graph, at), rule, assumed,
        frozenset(node.name for node in before),
    )  # fmt: skip


def _ancestors(makers: dict[str, Node], tensor: str) -> list[Node]:
    """Every operation that a tensor depends on, loops included."""
    found: dict[str, Node] = {}
    open_names = [tensor]
    while open_names:
        node = makers.get(open_names.pop())
        if node is not None and node.name not in found:
            found[node.name] = node
            open_names.extend(node.inputs)
    return list(found.values())


def _affine(
    graph: Graph, makers: Mapping[str, Node], tensor: str, constants: Mapping[str, Constant]
) -> tuple[np.ndarray, np.ndarray, str]:
    """Scale and offset on the way to `tensor` from the tensor where they begin, and its name."""
    scale, offset = np.ones(3), np.zeros(3)
    while (node := makers.get(tensor)) is not None and node.op in (*_MOVING, *_AFFINE):
        place = 0
        if node.op in _AFFINE:
            place, value = _operands(graph, node, constants)
            if node.op in ("mul", "div"):
                scale = scale * (value if node.op == "mul" else 1 / value)
            elif node.op == "add":
                offset = offset + scale * value
            elif place == 0:
                offset = offset - scale * value
            else:
                scale, offset = -scale, offset + scale * value
        tensor = node.inputs[place]
    return scale, offset, tensor


def _operands(
    graph: Graph, node: Node, constants: Mapping[str, Constant]
) -> tuple[int, np.ndarray]:
    """Place of the picture among an operation's two inputs, and the value of the other one."""
    given = [constants.get(name) for name in node.inputs]
    open_places = [place for place, constant in enumerate(given) if constant is None]
    values = [each.value.astype(np.float64).ravel() for each in given if each is not None]
    known = len(open_places) == len(values) == 1 and values[0].size in (1, 3)
    if not known or (node.op == "div" and open_places == [1]):
        raise UserError(
            f"{graph.source}: {node.name} changes pictures before the network by something other "
            "than a constant per channel, which no config value stands for"
        )
    return open_places[0], values[0]


def _resizing(
    before: Sequence[Node], constants: Mapping[str, Constant]
) -> tuple[ImageSize | None, ResizeRule | None]:
    nodes = [node for node in before if node.op == "resize_bilinear"]
    if len(nodes) != 1:
        return None, None
    node = nodes[0]
    rule: ResizeRule = (
        "bilinear" if node.attributes.get("half_pixel_centers") else "legacy_bilinear"
    )
    if node.attributes.get("align_corners"):
        rule = "align_corners"
    size = constants.get(node.inputs[1])
    padded = any(node.op.startswith("pad") for node in before)
    if size is None or size.value.size != 2 or padded:
        return None, rule
    return ImageSize(*(int(side) for side in size.value.ravel())), rule


def _fed_size(graph: Graph, tensor: str) -> ImageSize | None:
    """Height and width of the fed pictures, where the file fixes them."""
    fed = graph.inputs.get(tensor) or next(iter(graph.inputs.values()), None)
    if fed is None or fed.shape is None or len(fed.shape) != 4:
        return None
    height, width = (fed.shape[side] for side in _SIDES)
    return ImageSize(height, width) if height and width else None


def _three(values: np.ndarray) -> tuple[float, float, float]:
    # As many digits as float32 has: 127.5, not 127.49999988.
    first, second, third = (decimal(value) for value in values)
    return first, second, third
