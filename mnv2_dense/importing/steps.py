"""A graph as the steps of a network: layers with their norm, activation and shortcut, in order.

Files spell one layer in many ways: with a fused or an unfused batch norm, with the norm folded
into a bias, with the bias and a shortcut added in either order. Here they become one thing.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from mnv2_dense.errors import UserError
from mnv2_dense.importing.constants import Constant, Norm, decimal, fold
from mnv2_dense.importing.graph import Graph, Node, describe_shape, is_numeric
from mnv2_dense.importing.layers import (
    ACTIVATIONS,
    CONVOLUTIONS,
    Layer,
    is_per_channel,
    make_layer,
)

_WITHOUT_DATA = ("shape", "size", "rank")
_MAX_FOLDED = 2**26
"""Values that all operations on constants may make together."""
_NAME_WEIGHT = 16
"""Values that take as much memory as one name of the constants that a value comes from."""
_MAX_ADDED = 16
"""Most shortcuts that are added to one layer; the networks known here have one."""


@dataclass
class Operation:
    """Anything else that is done to maps: resizing, concatenation, pooling, decoding.

    Attributes:
        node: The operation in the file.
        sources: Numbers of the steps that it reads.
        constants: Its constant inputs, by their place among the node's inputs.
    """

    node: Node
    sources: tuple[int, ...]
    constants: dict[int, Constant]


Step = Layer | Operation


class _Value(NamedTuple):
    """What a tensor is: the output of an unfinished layer, with finished steps added to it.

    `layer` may still get a norm, a shortcut, an activation; without it `parts` is one step.
    Without both the tensor holds no features: shapes, or decoding's own numbers. `rate` is the
    dilation that SpaceToBatchND stands for, and `block` the same behind the layer, which
    BatchToSpaceND has to undo. `stale` is what came before a layer's activation.
    """

    layer: int | None = None
    parts: tuple[int, ...] = ()
    rate: int = 1
    block: int = 1
    stale: bool = False


_NOTHING = _Value()


class Steps:
    """The steps of a graph from the first convolution's input on.

    Attributes:
        graph: Where they come from.
        items: In data-flow order; step 0 is the input itself.
        stem_input: Name of the tensor that the first convolution reads.
        constants: By tensor name, the file's and what operations make of them alone.

    Raises:
        UserError: No convolution reads a picture, or one is of a form that is not known here.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.items: list[Step] = []
        self.stem_input = _find_stem(graph).inputs[0]
        self.constants = {
            name: Constant(value, frozenset([name])) for name, value in graph.constants.items()
        }
        self._folded = 0
        start = Operation(Node("input", self.stem_input, (), (self.stem_input,), {}), (), {})
        self._values = {self.stem_input: _Value(parts=(self._add(start),))}
        for node in graph.nodes:
            if self.stem_input not in node.outputs:
                self._read(node)
        self._readers = [list[int]() for _ in self.items]
        for reader, step in enumerate(self.items):
            for source in {*sources(step)}:
                self._readers[source].append(reader)

    def readers(self, number: int) -> Sequence[int]:
        """Steps that read a step's output, not counting those that only add it."""
        return self._readers[number]

    def _add(self, step: Step) -> int:
        self.items.append(step)
        return len(self.items) - 1

    def _layer(self, value: _Value) -> Layer:
        assert value.layer is not None
        layer = self.items[value.layer]
        assert isinstance(layer, Layer)
        return layer

    def _read(self, node: Node) -> None:
        known = ((place, self.constants.get(name)) for place, name in enumerate(node.inputs))
        constants = {place: constant for place, constant in known if constant is not None}
        if len(constants) == len(node.inputs) and self._fold(node, [*constants.values()]):
            return
        value = self._apply(node, constants)
        for name in node.outputs:
            self._values[name] = value
            if value.layer is not None:
                self._layer(value).tensors.append(name)

    def _fold(self, node: Node, constants: Sequence[Constant]) -> bool:
        """Whether an operation on constants alone made another one."""
        known = node.outputs and self._folded < _MAX_FOLDED
        folded = fold(node, constants) if known else None
        if folded is None:
            return False
        self._folded += _NAME_WEIGHT * len(folded.names)
        if all(folded.value is not constant.value for constant in constants):
            self._folded += folded.value.size
        self.constants[node.outputs[0]] = folded
        return True

    def _apply(self, node: Node, constants: Mapping[int, Constant]) -> _Value:
        # What a later node makes is part of a loop, and prepares pictures.
        values = [
            self._values.get(name, _NOTHING)
            for place, name in enumerate(node.inputs)
            if place not in constants
        ]
        if node.op in _WITHOUT_DATA or all(value == _NOTHING for value in values):
            return _NOTHING
        if any(value.stale for value in values):
            raise UserError(f"{self.graph.source}: {node.name} reads a layer before its activation")
        first = values[0]
        if node.op in CONVOLUTIONS:
            return self._start_layer(node, first, constants)
        if node.op == "identity":
            return first
        if node.op == "batch_to_space_nd":
            return self._join(node, first, constants)
        if node.op == "space_to_batch_nd":
            return _Value(parts=(self._close(first),), rate=self._rate(node, constants))
        if self._extends(node, values, constants):
            return self._extend(node, values, constants)
        if node.op in ACTIVATIONS and first.layer is not None:
            return self._activate(node, first)
        self._check_joined(node, values)
        read = tuple(self._close(value) for value in values if value != _NOTHING)
        return _Value(parts=(self._add(Operation(node, read, dict(constants))),))

    def _start_layer(self, node: Node, data: _Value, constants: Mapping[int, Constant]) -> _Value:
        self._check_joined(node, [data._replace(rate=1)])
        layer = make_layer(node, constants, self.graph.source)
        layer.source = self._close(data)
        if data.rate != 1:
            if layer.padding != "valid" or layer.dilation != 1 or layer.stride != 1:
                raise UserError(
                    f"{self.graph.source}: {node.name} stands behind SpaceToBatchND, but is "
                    "padded, strided or dilated itself"
                )
            layer.dilation, layer.padding = data.rate, "same"
        return _Value(layer=self._add(layer), block=data.rate)

    def _join(self, node: Node, value: _Value, constants: Mapping[int, Constant]) -> _Value:
        """What SpaceToBatchND had split, put together again."""
        if self._block(node, constants) != value.block or value.rate != 1:
            raise UserError(
                f"{self.graph.source}: {node.name} does not undo the SpaceToBatchND before it"
            )
        return value._replace(block=1)

    def _check_joined(self, node: Node, values: Sequence[_Value]) -> None:
        if any(value.rate != 1 or value.block != 1 for value in values):
            raise UserError(
                f"{self.graph.source}: {node.name} reads what SpaceToBatchND has split; only one "
                "layer may stand before BatchToSpaceND"
            )

    def _rate(self, node: Node, constants: Mapping[int, Constant]) -> int:
        """The dilation that SpaceToBatchND stands for, if it pads a 3x3 layer's map for it."""
        rate = self._block(node, constants)
        pads = constants.get(2)
        given = np.array([[rate, rate]] * 2) if pads is None else pads.value
        sides = given.tolist() if given.shape == (2, 2) and is_numeric(given) else []
        if not sides or any(before != rate or after < rate for before, after in sides):
            raise UserError(
                f"{self.graph.source}: {node.name} pads by {sides}, which is not the padding SAME "
                f"of a 3x3 layer of dilation {rate}"
            )
        return rate

    def _block(self, node: Node, constants: Mapping[int, Constant]) -> int:
        block = constants[1].value.ravel() if 1 in constants else np.zeros(0, np.int64)
        whole = block.dtype.kind in "iu" and len(block) == 2
        if not whole or block[0] != block[1] or block[0] < 1:
            raise UserError(
                f"{self.graph.source}: {node.name} has no constant, square block, so its layer's "
                "dilation is unknown"
            )
        return int(block[0])

    def _activate(self, node: Node, value: _Value) -> _Value:
        layer = self._layer(value)
        layer.activation = node.op
        layer.tensors.extend(node.outputs)
        number = self._close(value)
        self._leave_behind(layer)
        return _Value(parts=(number,), block=value.block)

    def _leave_behind(self, layer: Layer) -> None:
        """What a layer has made so far is no output of it."""
        for name in reversed(layer.tensors):
            known = self._values.get(name)
            if known is not None and known.stale:
                return  # as all before it are
            if known is not None:
                self._values[name] = known._replace(stale=True)

    def _close(self, value: _Value) -> int:
        """The step whose output a tensor is; an unfinished layer is finished by being read."""
        if value.layer is None:
            return value.parts[0]
        layer = self._layer(value)
        layer.added = value.parts
        for name in layer.tensors:
            other = self._values.get(name)
            if other is not None and other.layer == value.layer:
                self._values[name] = other._replace(layer=None, parts=(value.layer,))
        return value.layer

    def _extends(
        self, node: Node, values: Sequence[_Value], constants: Mapping[int, Constant]
    ) -> bool:
        """Whether an operation goes on with one unfinished layer."""
        unfinished = [value for value in values if value.layer is not None]
        if len(unfinished) != 1 or node.op not in ("add", "sub", "mul", "batch_norm"):
            return False
        if len(values) > 1:
            split = any(value.block != 1 for value in values)
            return node.op == "add" and _NOTHING not in values and not split
        channels = self._layer(unfinished[0]).channels
        for place, constant in constants.items():
            if not is_per_channel(constant.value, channels):
                shape = describe_shape(constant.value.shape)
                raise UserError(
                    f"{self.graph.source}: {node.inputs[place]} ({shape}) does not fit the "
                    f"{channels} channels of {self._layer(unfinished[0]).node.name}"
                )
        # A shortcut that was added before would be scaled, too.
        alone = not unfinished[0].parts or node.op in ("add", "sub")
        return alone and not (node.op == "sub" and 0 in constants)

    def _extend(
        self, node: Node, values: Sequence[_Value], constants: Mapping[int, Constant]
    ) -> _Value:
        value = next(each for each in values if each.layer is not None)
        layer = self._layer(value)
        others = tuple(self._close(each) for each in values if each != value)
        self._leave_behind(layer)
        for constant in constants.values():
            layer.constants |= constant.names
        if node.op == "batch_norm":
            layer.apply_norm(self._norm(node, constants))
        else:
            for constant in constants.values():
                layer.apply(node.op, constant)
        parts = value.parts + others
        if len(parts) > _MAX_ADDED:
            raise UserError(
                f"{self.graph.source}: {node.name} adds more than {_MAX_ADDED} maps to one layer"
            )
        return value._replace(parts=parts)

    def _norm(self, node: Node, constants: Mapping[int, Constant]) -> Norm:
        if {*constants} != {1, 2, 3, 4}:
            raise UserError(f"{self.graph.source}: {node.name} has not four constants")
        values = (constants[place].value.astype(np.float32).ravel() for place in (1, 2, 3, 4))
        return Norm(*values, epsilon=decimal(node.attributes["epsilon"]))


def sources(step: Step) -> tuple[int, ...]:
    """The steps that a step reads, without those that it only adds."""
    return (step.source,) if isinstance(step, Layer) else step.sources


def tensors(step: Step) -> Iterable[str]:
    """The file's names of a step's output, the finished one last."""
    return step.tensors if isinstance(step, Layer) else step.node.outputs


def _find_stem(graph: Graph) -> Node:
    """The first convolution of a picture's three channels."""
    origins: dict[str, str] = {}
    for node in graph.nodes:
        if node.op == "identity" and node.inputs:
            first = origins.get(node.inputs[0], node.inputs[0])
            origins.update(dict.fromkeys(node.outputs, first))
        if node.op != "conv2d" or len(node.inputs) < 2:
            continue
        weight = graph.constants.get(origins.get(node.inputs[1], node.inputs[1]))
        layout = str(node.attributes.get("layout"))
        if weight is not None and weight.ndim == 4 and weight.shape[layout.index("I")] == 3:
            return node
    raise UserError(
        f"{graph.source}: no network that is known here: no convolution of constant weights "
        "reads a picture's three channels"
    )
