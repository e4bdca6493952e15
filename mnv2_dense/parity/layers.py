"""Layer by layer: what our network computes beside what a .tflite file computes."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mnv2_dense.errors import UserError
from mnv2_dense.importing.found import Imported
from mnv2_dense.importing.graph import Graph, describe_shape
from mnv2_dense.parity.agreement import Agreement
from mnv2_dense.parity.layer_pairs import find_inputs, find_orders, find_pairs
from mnv2_dense.parity.runtime import Rounding, Runtime

DIVERGED = 1e-3
"""Largest difference of a float file's layer, as a share of its largest value."""
STEPS = 2.0
"""The same of a quantised file's layer that is given the file's values, in steps of rounding."""


class Layers:
    """The agreement of every layer that has its counterpart in the file.

    A quantised file rounds every layer's values and cuts them off at the ends of a range, and
    the differences grow from layer to layer. So there each layer is also given the file's own
    values: what it then makes differs by its rounding only.

    Args:
        network: Ours.
        imported: The file's network, for the pairs of layers.
        graph: The file.

    Attributes:
        agreements: In the file's order, by our names.
        steps: Of a quantised file: largest difference of every layer that is given the file's
            values, within the range of its values, in steps of its rounding.
        cut_off: Those whose range does not hold all values. Ours are not cut off.
    """

    def __init__(self, network: nn.Module, imported: Imported, graph: Graph) -> None:
        self.network = network
        self.source = imported.source
        self._tensors = find_pairs(network, imported, graph)
        self._inputs = find_inputs(network, self._tensors, graph)
        self._orders = find_orders(imported)
        self.agreements = {name: Agreement(name) for name in self._tensors}
        self.steps: dict[str, float] = {}
        self.cut_off: set[str] = set()

    def compare(self, seen: np.ndarray, runtime: Runtime) -> Any:
        """Shows our network what the runtime has just seen, and compares all layers.

        Args:
            seen: The normalised picture [H, W, 3].
            runtime: After its run.

        Returns:
            Our network's outputs.
        """
        theirs = {name: runtime.tensor(tensor) for name, tensor in self._tensors.items()}
        values, outputs = self._run(seen)
        for name, agreement in self.agreements.items():
            agreement.update(*self._align(name, values[name], theirs[name]))
        if runtime.graph.quantized:
            inputs = {name: runtime.tensor(tensor) for name, tensor in self._inputs.items()}
            given, _ = self._run(seen, theirs, inputs)
            for name, tensor in self._tensors.items():
                pair = self._align(name, given[name], theirs[name])
                self._count_steps(name, *pair, runtime.rounding(tensor))
        return outputs

    def run(self, seen: np.ndarray) -> Any:
        """Our network's outputs for a normalised picture [H, W, 3]."""
        return self._run(seen)[1]

    def first_diverging(self) -> str | None:
        """Name of the first layer, in the file's order, that computes something else."""
        if self.steps:
            found = (name for name, value in self.steps.items() if not value <= STEPS)
        else:
            layers = self.agreements.items()
            found = (name for name, each in layers if not each.relative <= DIVERGED)
        return next(found, None)

    def _count_steps(
        self, name: str, ours: np.ndarray, theirs: np.ndarray, rounding: Rounding | None
    ) -> None:
        if rounding is None:
            return
        kept = np.clip(ours, rounding.low, rounding.high)
        if np.abs(ours - kept).max() > rounding.step:
            self.cut_off.add(name)
        found = float(np.abs(kept - theirs).max()) / rounding.step
        self.steps[name] = float(np.maximum(self.steps.get(name, 0.0), found))

    def _run(
        self,
        seen: np.ndarray,
        replaced: Mapping[str, np.ndarray] | None = None,
        inputs: Mapping[str, np.ndarray] | None = None,
    ) -> tuple[dict[str, np.ndarray], Any]:
        """Every layer's own values, channels last, and the outputs.

        Args:
            seen: The picture.
            replaced: What following layers get in place of a layer's values.
            inputs: What convolutions get in place of their inputs.
        """
        values: dict[str, np.ndarray] = {}
        # Nothing reads the last layers, and a detector's have another order of channels.
        given = {name: each for name, each in (replaced or {}).items() if name not in self._orders}
        with ExitStack() as hooks:
            for name in self._tensors:
                hooks.enter_context(_keep(self.network, name, values, given.get(name)))
            for name, array in (inputs or {}).items():
                hooks.enter_context(_feed(self.network, name, array))
            with torch.inference_mode():
                outputs = self.network(torch.from_numpy(seen).permute(2, 0, 1).unsqueeze(0))
        return values, outputs

    def _align(
        self, name: str, ours: np.ndarray, theirs: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Both in our order of channels, and of one shape."""
        if order := self._orders.get(name):
            theirs = theirs[..., order]
        if name == "head.image_pooling" and theirs.shape[1:3] == (1, 1):
            # Ours is spread over the map; all its cells are equal.
            ours = ours[:, :1, :1]
        if ours.size != theirs.size:
            theirs_shape, ours_shape = describe_shape(theirs.shape), describe_shape(ours.shape)
            raise UserError(
                f"{self.source}: gives {theirs_shape} where the checkpoint's {name} gives "
                f"{ours_shape}; they do not belong together"
            )
        return ours, theirs.reshape(ours.shape)


@contextmanager
def _keep(
    network: nn.Module, name: str, values: dict[str, np.ndarray], replaced: np.ndarray | None
) -> Iterator[None]:
    """Keeps what a module gives, and gives on something else where there is that."""

    def hook(_module: nn.Module, _inputs: Any, output: Any) -> Any:
        # A bottleneck also gives its expansion.
        first = output[0] if isinstance(output, tuple) else output
        values[name] = _channels_last(first)
        if replaced is None or first.ndim != 4:
            return None
        given = torch.from_numpy(replaced).permute(0, 3, 1, 2).expand_as(first)
        return (given, *output[1:]) if isinstance(output, tuple) else given

    with _hooked(network.get_submodule(name).register_forward_hook, hook):
        yield


@contextmanager
def _feed(network: nn.Module, name: str, values: np.ndarray) -> Iterator[None]:
    """Gives a convolution a file's values, where they are of the same shape."""

    def hook(_module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        given = torch.from_numpy(values)
        given = given.permute(0, 3, 1, 2) if inputs[0].ndim == 4 else given.flatten(1)
        return (given,) if given.shape == inputs[0].shape else None

    with _hooked(network.get_submodule(name).register_forward_pre_hook, hook):
        yield


@contextmanager
def _hooked(register: Callable[..., Any], hook: Callable[..., Any]) -> Iterator[None]:
    handle = register(hook)
    try:
        yield
    finally:
        handle.remove()


def _channels_last(values: Tensor) -> np.ndarray:
    return (values.permute(0, 2, 3, 1) if values.ndim == 4 else values).float().numpy()
