"""Parameters and multiply-adds of a network, layer by layer."""

from collections.abc import Iterator, Sequence
from copy import deepcopy
from functools import partial
from itertools import chain
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from mnv2_dense.structures import ImageSize


class LayerCount(NamedTuple):
    """What one module holds and computes by itself, without the modules inside it.

    `name` is the module's path in the network, empty for the network itself; `kind` its class.
    `output_shape` is that of its first tensor. `parameters` are the trainable ones. `multiply_adds`
    are those of convolutions and matrix products; bias, norm, activation, pooling and addition are
    not counted, as in the paper. `space_to_batch` is the same where TensorFlow runs atrous layers:
    at dilation r the map is padded to whole multiples of r. `tap` is the feature map that is
    complete after this layer, empty if none is.

    Source: paper, section 6 and Tables 4 to 7; space-to-batch is what Table 7's figures agree with.
    """

    name: str
    kind: str
    output_shape: tuple[int, ...]
    parameters: int
    multiply_adds: int
    space_to_batch: int
    tap: str


class NetworkCount(NamedTuple):
    """Sums over layers, see `LayerCount`."""

    parameters: int
    multiply_adds: int
    space_to_batch: int


def count_layers(network: nn.Module, size: ImageSize) -> list[LayerCount]:
    """What the layers hold and compute, in the order in which they end on one image of `size`.

    A copy of the network runs once in evaluation mode on the meta device, so nothing is computed
    and the network itself stays as it is, wherever it lies. A layer has a row if it holds
    parameters or computes multiply-adds outside the modules within it. One that runs twice has two
    rows, with its parameters in the first; one that is not called has none.

    Every module that returns feature maps by name names its taps.
    """
    copy = _copy_to_meta(network).eval()
    with FlopCounterMode(display=False) as flops, torch.no_grad():
        recorder = _Recorder(flops)
        for name, layer in copy.named_modules():
            layer.register_forward_pre_hook(recorder.enter)
            layer.register_forward_hook(partial(recorder.leave, name))
        copy(torch.zeros(1, 3, *size, device="meta"))
    return recorder.rows


def sum_layers(layers: Sequence[LayerCount]) -> NetworkCount:
    """Parameters, multiply-adds and those as space-to-batch runs them, over all layers."""
    return NetworkCount(
        sum(layer.parameters for layer in layers),
        sum(layer.multiply_adds for layer in layers),
        sum(layer.space_to_batch for layer in layers),
    )


def _copy_to_meta(network: nn.Module) -> nn.Module:
    """The network without its values, and without what `compile` put in place of its call."""
    memo: dict[int, object] = {}
    for tensor in chain(network.parameters(), network.buffers()):
        empty = torch.empty_like(tensor, device="meta", requires_grad=False)
        held = isinstance(tensor, nn.Parameter)
        memo[id(tensor)] = nn.Parameter(empty, tensor.requires_grad) if held else empty
    return deepcopy(network, memo)


class _Sighting(NamedTuple):
    """A tensor that a module was given or returned, its version then, and the rows there were."""

    tensor: Tensor
    version: int
    rows: int


class _Recorder:
    """Writes rows from hooks around every module, and remembers what passed between the modules."""

    def __init__(self, flops: FlopCounterMode) -> None:
        self.rows: list[LayerCount] = []
        self._flops = flops
        self._assigned = 0
        self._at_entry: list[int] = []
        self._open_layers = 0
        self._counted: set[nn.Parameter] = set()
        self._sightings: list[_Sighting] = []

    def enter(self, layer: nn.Module, inputs: object) -> None:
        """Remembers what the modules around this one had computed by themselves."""
        self._at_entry.append(self._flops.get_total_flops() - self._assigned)
        self._see(inputs)
        self._open_layers += _is_layer(layer)

    def leave(self, name: str, layer: nn.Module, inputs: object, output: object) -> None:
        """Adds the layer's row, and marks the rows of the taps that it names."""
        own = self._flops.get_total_flops() - self._assigned - self._at_entry.pop()
        self._assigned += own
        parameters = list(layer.parameters(recurse=False))
        if own or parameters:
            self.rows.append(self._row(name, layer, output, own // 2))
        self._counted.update(parameters)
        self._open_layers -= _is_layer(layer)
        self._see(output)
        for tap, features in _named_maps(output):
            self._mark(tap, features)

    def _see(self, passed: object) -> None:
        if self._open_layers:  # a norm's own activation returns the map before the norm's row
            return
        self._sightings += [_Sighting(t, t._version, len(self.rows)) for t in _tensors(passed)]

    def _row(self, name: str, layer: nn.Module, output: object, multiply_adds: int) -> LayerCount:
        shape = next((tuple(tensor.shape) for tensor in _tensors(output)), ())
        held = [p for p in layer.parameters(recurse=False) if p.requires_grad]
        return LayerCount(
            name,
            type(layer).__name__,
            shape,
            sum(p.numel() for p in held if p not in self._counted),
            multiply_adds,
            _space_to_batch(layer, shape, multiply_adds),
            "",
        )

    def _mark(self, tap: str, features: Tensor) -> None:
        """Writes the tap into the last row before its map was first seen as it now is.

        In-place layers change a tensor that was seen before; its version tells.
        """
        rows = next(
            sighting.rows
            for sighting in self._sightings
            if sighting.tensor is features and sighting.version == features._version
        )
        if rows == 0:  # no counted layer made it
            return
        row = self.rows[rows - 1]
        taps = row.tap.split(", ") if row.tap else []
        if tap not in taps:
            self.rows[rows - 1] = row._replace(tap=", ".join([*taps, tap]))


def _is_layer(module: nn.Module) -> bool:
    """Whether a module holds parameters, and the modules within it none."""
    return len(list(module.parameters())) == len(list(module.parameters(recurse=False))) > 0


def _tensors(passed: object) -> Iterator[Tensor]:
    """The tensors within what a module was given or returned."""
    if isinstance(passed, Tensor):
        yield passed
    elif isinstance(passed, dict):
        yield from _tensors(list(passed.values()))
    elif isinstance(passed, Sequence) and not isinstance(passed, str):
        for entry in passed:
            yield from _tensors(entry)


def _named_maps(output: object) -> Iterator[tuple[str, Tensor]]:
    """Names and maps, if that is all that a module returned."""
    pairs = list(output.items()) if isinstance(output, dict) else []
    if all(isinstance(name, str) and isinstance(entry, Tensor) for name, entry in pairs):
        yield from pairs


def _space_to_batch(layer: nn.Module, shape: Sequence[int], multiply_adds: int) -> int:
    """Multiply-adds at as many positions as TensorFlow's space-to-batch pads the map to."""
    if not isinstance(layer, nn.Conv2d) or max(layer.stride) > 1:
        return multiply_adds
    (height, width), (down, across) = shape[-2:], layer.dilation
    padded = (-(-height // down) * down) * (-(-width // across) * across)
    return multiply_adds // (height * width) * padded
