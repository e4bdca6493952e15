"""One layer as a file spells it: a convolution, and the norm, bias and activation behind it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mnv2_dense.errors import UserError
from mnv2_dense.importing.constants import Constant, Norm
from mnv2_dense.importing.graph import Node, describe_shape, is_numeric

CONVOLUTIONS = ("conv2d", "depthwise_conv2d", "dense")
ACTIVATIONS = ("relu", "relu6")

_TO_OIHW = {
    "HWIO": (3, 2, 0, 1),
    "OHWI": (0, 3, 1, 2),
    "HWCM": (2, 3, 0, 1),
    "1HWC": (3, 0, 1, 2),
    "IO": (1, 0),
    "OI": (0, 1),
}


@dataclass
class Layer:
    """A convolution with what follows it: norm or bias, shortcut, activation.

    Attributes:
        node: The convolution in the file.
        source: Number of the step that it reads.
        weight: float32 [out, in, height, width]; of a depthwise layer [C, 1, height, width].
        depthwise: Whether every channel is seen by itself.
        stride: Of height and width, which are alike.
        dilation: The same.
        padding: `same` or `valid`.
        factor: On the output's channels, before the offset; None for 1.
        offset: Added to the output's channels; None for 0.
        norm: The batch norm, where the file still has it; then factor and offset are None.
        added: Steps whose outputs are added before the activation.
        activation: `relu`, `relu6` or None.
        tensors: The file's names of the output on its way, the finished one last.
        constants: The file's constants that the layer is made of.
        unfused: The norm whose factor has been applied and whose offset has not.
    """

    node: Node
    source: int
    weight: np.ndarray
    depthwise: bool
    stride: int
    dilation: int
    padding: str
    factor: np.ndarray | None = None
    offset: np.ndarray | None = None
    norm: Norm | None = None
    added: tuple[int, ...] = ()
    activation: str | None = None
    tensors: list[str] = field(default_factory=list)
    constants: set[str] = field(default_factory=set)
    unfused: Norm | None = None

    @property
    def kernel(self) -> int:
        """Side of the kernel."""
        return self.weight.shape[-1]

    @property
    def channels(self) -> int:
        """Of the output."""
        return len(self.weight)

    def apply(self, op: str, constant: Constant) -> None:
        """Continues the layer with an `add`, `sub` or `mul` of a constant."""
        value = constant.value.astype(np.float32).ravel()
        part = constant.part
        fresh = self.factor is None and self.offset is None and self.norm is None
        if op == "mul":
            self.unfused = (
                part.norm if fresh and part and part.stage in ("root", "factor") else None
            )
            self._scale(value)
        elif op == "add" and part and part.stage == "offset" and self._awaits(part.norm):
            self.norm, self.factor, self.unfused = part.norm, None, None
        else:
            self._shift(value if op == "add" else -value)

    def apply_norm(self, norm: Norm) -> None:
        """Continues the layer with a batch norm."""
        if self.factor is None and self.offset is None and self.norm is None:
            self.norm = norm
            return
        factor, offset = _fold(norm)
        self._scale(factor)
        self._shift(offset)

    def _awaits(self, norm: Norm) -> bool:
        """Whether only the offset of a norm is missing."""
        return self.offset is None and _same(self.unfused, norm)

    def _scale(self, factor: np.ndarray) -> None:
        self._fold_norm()
        before = np.ones(self.channels, np.float32) if self.factor is None else self.factor
        self.factor = before * factor
        if self.offset is not None:
            self.offset = self.offset * factor

    def _shift(self, offset: np.ndarray) -> None:
        self._fold_norm()
        before = np.zeros(self.channels, np.float32) if self.offset is None else self.offset
        self.offset = before + offset

    def _fold_norm(self) -> None:
        """Nothing but a norm can stand for itself; with more behind it, it becomes a factor."""
        if self.norm is not None:
            (self.factor, self.offset), self.norm = _fold(self.norm), None


def _fold(norm: Norm) -> tuple[np.ndarray, np.ndarray]:
    """Factor and offset of a norm."""
    factor = norm.gamma / np.sqrt(norm.variance + norm.epsilon)
    return factor, norm.beta - norm.mean * factor


def _same(first: Norm | None, second: Norm) -> bool:
    """Whether the factor and the offset are those of one norm."""
    return (
        first is not None
        and first.epsilon == second.epsilon
        and np.array_equal(first.gamma, second.gamma)
        and np.array_equal(first.variance, second.variance)
    )


def is_per_channel(value: np.ndarray, channels: int) -> bool:
    """Whether a constant is of numbers, a single one or one per channel of the last axis."""
    fits = value.size == 1 or (value.size == channels == value.shape[-1])
    return fits and is_numeric(value)


def make_layer(node: Node, constants: Mapping[int, Constant], file: str) -> Layer:
    """The layer that a convolution begins, its source not yet known.

    Args:
        node: `conv2d`, `depthwise_conv2d` or `dense`.
        constants: Those of its inputs that are, by their place.
        file: For messages.

    Raises:
        UserError: The weights are not constant, or not of a form that is known here.
    """
    if 1 not in constants:
        raise UserError(f"{file}: {node.name} has no constant weights (it reads {node.inputs[1]})")
    weight = _weight(node, constants[1].value, file)
    attributes: dict[str, Any] = dict(node.attributes)
    strides, dilations = attributes.get("strides", (1, 1)), attributes.get("dilations", (1, 1))
    if len({*strides}) > 1 or len({*dilations}) > 1 or weight.shape[2] != weight.shape[3]:
        raise UserError(f"{file}: {node.name} is not square; only square layers are known")
    layer = Layer(
        node,
        source=0,
        weight=weight,
        depthwise=node.op == "depthwise_conv2d",
        stride=int(strides[0]),
        dilation=int(dilations[0]),
        padding=str(attributes.get("padding", "valid")),
        constants=set(constants[1].names),
    )
    if 2 in constants:
        if not is_per_channel(constants[2].value, layer.channels):
            shape = describe_shape(constants[2].value.shape)
            raise UserError(
                f"{file}: {node.inputs[2]} ({shape}) does not fit the {layer.channels} channels of "
                f"{node.name}"
            )
        layer.constants |= constants[2].names
        layer.apply("add", constants[2]._replace(part=None))
    return layer


def _weight(node: Node, value: np.ndarray, file: str) -> np.ndarray:
    """A kernel as [out, in, height, width]."""
    layout = str(node.attributes["layout"])
    if value.ndim != len(layout) or not value.size or not is_numeric(value):
        shape = describe_shape(value.shape)
        raise UserError(
            f"{file}: {node.inputs[1]} is {shape}, but {node.op} needs {layout} of numbers"
        )
    weight = value.transpose(_TO_OIHW[layout]).astype(np.float32)
    if node.op == "dense":
        return weight[:, :, None, None]
    if node.op == "depthwise_conv2d" and weight.shape[1] != 1:
        raise UserError(f"{file}: {node.name} makes several maps of a channel; one is known")
    return weight
