"""A walk over a file's steps that gives every layer its place in one of our networks."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mnv2_dense.errors import UserError
from mnv2_dense.importing.constants import Norm
from mnv2_dense.importing.layers import Layer
from mnv2_dense.importing.steps import Operation, Steps, sources
from mnv2_dense.ops.texts import list_first

KNOWN = (
    "known are MobileNetV2 classifiers, SSDLite on MobileNetV2 and DeepLabv3 on MobileNetV2, "
    "as the authors built them"
)

KEEPING = ("identity", "reshape", "squeeze", "expand_dims")
"""Operations that keep all values in their order."""


class Placement(NamedTuple):
    """Where a layer goes.

    Attributes:
        number: The layer's step.
        module: Our module whose output the layer's is.
        convolution: Name of our convolution.
        norm: Name of our batch norm; None where the layer has a bias instead.
        group: Layers that share one epsilon: `backbone` or `head`.
        order: Order of our output channels in the file's; None for the same.
    """

    number: int
    module: str
    convolution: str
    norm: str | None
    group: str
    order: Sequence[int] | None = None


class Walk:
    """Steps, and the places that layers have been given so far."""

    def __init__(self, steps: Steps) -> None:
        self.steps = steps
        self.file = steps.graph.source
        self.placed: dict[int, Placement] = {}
        self.explained: dict[str, str] = {}
        self.notes: list[str] = []
        self.makers = {name: node for node in steps.graph.nodes for name in node.outputs}
        self._origins: dict[Sequence[str], list[int]] = {}

    def layer(self, number: int) -> Layer:
        """A step that is a layer."""
        step = self.steps.items[number]
        if not isinstance(step, Layer):
            raise self.unknown(f"{step.node.name} ({step.node.op}) where a layer belongs")
        return step

    def operation(self, number: int) -> Operation:
        """A step that is not a layer."""
        step = self.steps.items[number]
        if isinstance(step, Layer):
            raise self.unknown(f"{step.node.name} where no layer belongs")
        return step

    def layers_after(self, number: int, *, depthwise: bool) -> list[int]:
        """The layers of one kind that read a step."""
        return [
            reader
            for reader in self.steps.readers(number)
            if isinstance(layer := self.steps.items[reader], Layer) and layer.depthwise == depthwise
        ]

    def operations_after(self, number: int) -> list[int]:
        """The operations that read a step."""
        readers = self.steps.readers(number)
        return [each for each in readers if isinstance(self.steps.items[each], Operation)]

    def operations_behind(
        self, number: int, passes: Callable[[Operation], bool] | None = None
    ) -> list[int]:
        """The operations that read a step, directly or behind some that let all values pass.

        Args:
            number: The step.
            passes: Which do so, and are not listed themselves; those of `KEEPING` by default.
        """
        found, waiting, seen = list[int](), self.operations_after(number), set[int]()
        while waiting:
            reader = waiting.pop()
            if reader in seen:
                continue
            seen.add(reader)
            step = self.operation(reader)
            if passes(step) if passes else step.node.op in KEEPING:
                waiting += self.operations_after(reader)
            else:
                found.append(reader)
        return sorted(found)

    def origins(self, ops: Sequence[str]) -> Sequence[int]:
        """By step, where `follow` ends; found once, since a file may ask for all its steps."""
        if ops not in self._origins:
            found = self._origins[ops] = list[int]()
            for number, step in enumerate(self.steps.items):
                passes = isinstance(step, Operation) and step.node.op in ops
                read = sources(step)
                found.append(found[read[0]] if passes and len(read) == 1 else number)
        return self._origins[ops]

    def only(self, numbers: Sequence[int], what: str) -> int:
        """The one step of a list.

        Raises:
            UserError: There is none, or more than one.
        """
        if len(numbers) != 1:
            found = list_first([self.steps.items[number].node.name for number in numbers])
            raise self.unknown(f"{found or 'nothing'} where one {what} belongs")
        return numbers[0]

    def place(
        self,
        number: int,
        module: str,
        *,
        kernel: int = 1,
        stride: int = 1,
        dilation: int = 1,
        depthwise: bool = False,
        activation: str | None = "relu6",
        added: tuple[int, ...] = (),
        names: tuple[str, str] | None = None,
        group: str = "backbone",
    ) -> Layer:
        """Gives a layer with a norm its place, if it is what belongs there.

        Args:
            number: The layer's step.
            module: Our module of the same output.
            kernel: Side of the kernel that belongs there.
            stride: The same of the stride.
            dilation: The same of the dilation.
            depthwise: The same of the kind.
            activation: The same of the activation.
            added: Steps that belong added to the output.
            names: Of our convolution and norm; None for those inside of a `ConvNormAct`.
            group: See `Placement`.

        Raises:
            UserError: It is another kind of layer.
        """
        layer = self.layer(number)
        wanted = (kernel, stride, dilation, depthwise, activation, added)
        given = (
            layer.kernel, layer.stride, layer.dilation, layer.depthwise, layer.activation,
            layer.added,
        )  # fmt: skip
        if wanted != given or (layer.padding != "same" and layer.kernel > 1):
            raise self.unknown(f"{_describe(layer)} where {_expect(*wanted)} belongs ({module})")
        convolution, norm = names or (f"{module}.0", f"{module}.1")
        self.placed[number] = Placement(number, module, convolution, norm, group)
        return layer

    def place_biased(self, number: int, module: str, order: Sequence[int] | None = None) -> Layer:
        """Gives a 1x1 layer of a bias, without norm and activation, its place."""
        layer = self.layer(number)
        if layer.kernel != 1 or layer.depthwise or layer.activation or layer.added or layer.norm:
            raise self.unknown(
                f"{_describe(layer)} where a 1x1 layer with a bias belongs ({module})"
            )
        self.placed[number] = Placement(number, module, module, None, "", order)
        return layer

    def unknown(self, found: str) -> UserError:
        """What to raise of a graph that is no network known here."""
        return UserError(f"{self.file}: no network that is known here: {found}; {KNOWN}")

    def check_all_placed(self) -> None:
        """Refuses layers that have no place.

        Raises:
            UserError: Some layer is left over; the message names the first.
        """
        for number, step in enumerate(self.steps.items):
            if isinstance(step, Layer) and number not in self.placed:
                weight = step.node.inputs[1]
                raise self.unknown(f"{weight} is left over ({_describe(step)})")

    def epsilon(self, group: str, default: float) -> float:
        """Epsilon of a group's norms: the file's first, or the default where all are folded."""
        norms = (
            self.layer(each.number).norm for each in self.placed.values() if each.group == group
        )
        return next((norm.epsilon for norm in norms if norm is not None), default)

    def state(self, epsilons: dict[str, float]) -> dict[str, Tensor]:
        """Weights of the placed layers, under our names.

        Args:
            epsilons: Of the norms of every group.
        """
        state: dict[str, Tensor] = {}
        for placement in self.placed.values():
            layer = self.layer(placement.number)
            if placement.norm is None:
                state |= _biased(layer, placement)
            else:
                state |= _normed(layer, placement, epsilons[placement.group])
        return state

    def count_folded(self) -> int:
        """Placed layers whose norm the file has folded."""
        normed = (each.number for each in self.placed.values() if each.norm is not None)
        return sum(self.layer(number).norm is None for number in normed)


def _normed(layer: Layer, placement: Placement, epsilon: float) -> dict[str, Tensor]:
    """A convolution and its norm; one that is folded becomes a norm of the same outputs."""
    ones, zeros = np.ones(layer.channels, np.float32), np.zeros(layer.channels, np.float32)
    if layer.norm is None:
        factor = ones if layer.factor is None else layer.factor
        offset = zeros if layer.offset is None else layer.offset
        # Variance and epsilon add up to 1, so that the norm multiplies by the factor itself.
        norm = Norm(factor, offset, zeros, ones * (1 - epsilon), epsilon)
    else:
        norm = layer.norm
    # Another epsilon than the group's is taken up by gamma.
    ratio = np.sqrt((norm.variance + epsilon) / (norm.variance + norm.epsilon))
    values = {
        f"{placement.convolution}.weight": layer.weight,
        f"{placement.norm}.weight": norm.gamma * ratio,
        f"{placement.norm}.bias": norm.beta,
        f"{placement.norm}.running_mean": norm.mean,
        f"{placement.norm}.running_var": norm.variance,
    }
    state = {name: _tensor(value) for name, value in values.items()}
    return {**state, f"{placement.norm}.num_batches_tracked": torch.tensor(0)}


def _biased(layer: Layer, placement: Placement) -> dict[str, Tensor]:
    offset = np.zeros(layer.channels, np.float32) if layer.offset is None else layer.offset
    weight = layer.weight
    if layer.factor is not None:
        weight = weight * layer.factor[:, None, None, None]
    if placement.order is not None:
        weight, offset = weight[list(placement.order)], offset[list(placement.order)]
    return {
        f"{placement.convolution}.weight": _tensor(weight),
        f"{placement.convolution}.bias": _tensor(offset),
    }


def _tensor(value: np.ndarray) -> Tensor:
    return torch.from_numpy(np.array(value, dtype=np.float32))


def follow(walk: Walk, number: int, ops: Sequence[str]) -> int:
    """Backwards over operations of some kinds that read one step each, to the first other step."""
    return walk.origins(ops)[number]


def _describe(layer: Layer) -> str:
    given = (layer.kernel, layer.stride, layer.dilation, layer.depthwise, layer.activation)
    padding = "" if layer.padding == "same" or layer.kernel == 1 else f" padded {layer.padding}"
    return f"{layer.node.name}: {_expect(*given, layer.added)}{padding}"


def _expect(
    kernel: int,
    stride: int,
    dilation: int,
    depthwise: bool,
    activation: str | None,
    added: tuple[int, ...],
) -> str:
    kind = "depthwise " if depthwise else ""
    shortcut = "a shortcut" if added else "no shortcut"
    return (
        f"a {kind}{kernel}x{kernel} layer of stride {stride} and dilation {dilation} with "
        f"{activation or 'no activation'} and {shortcut}"
    )
