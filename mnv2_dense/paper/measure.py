"""What a network holds and computes, counted on the real module."""

from collections.abc import Iterable
from functools import cache
from typing import NamedTuple

from torch import nn

from mnv2_dense.ops.count import LayerCount, count_layers, sum_layers
from mnv2_dense.structures import ImageSize


class Counts(NamedTuple):
    """One network, or a part of it, at one input.

    parameters: Trainable parameters: weights, biases, and scale and shift of the norms.
    weights: Those of convolutions and linear layers alone, without biases.
    running_statistics: Means and variances of the norms, which are no parameters.
    state_dict: Everything that a checkpoint stores, with a step counter per norm.
    multiply_adds: Those of convolutions and linear layers.
    space_to_batch: The same as TensorFlow's space-to-batch runs atrous layers.
    """

    parameters: int
    weights: int
    running_statistics: int
    state_dict: int
    multiply_adds: int
    space_to_batch: int

    @property
    def folded(self) -> int:
        """Parameters when every norm is folded into one bias per channel before it."""
        return self.parameters - self.running_statistics // 2


def measure(network: nn.Module, size: ImageSize, part: str = "") -> Counts:
    """Counts of a network for one image of `size`.

    Args:
        network: May lie on the meta device.
        size: Of the input.
        part: Name of the child that is counted; empty for all.
    """
    rows = [row for row in _count(network, size) if _inside(row, part)]
    module = network.get_submodule(part)
    parameters, buffers = list(module.parameters()), dict(module.named_buffers())
    total = sum_layers(rows)
    return Counts(
        parameters=total.parameters,
        weights=sum(p.numel() for p in parameters if p.dim() > 1),
        running_statistics=sum(b.numel() for name, b in buffers.items() if "running_" in name),
        state_dict=sum(tensor.numel() for tensor in module.state_dict().values()),
        multiply_adds=total.multiply_adds,
        space_to_batch=total.space_to_batch,
    )


@cache
def _count(network: nn.Module, size: ImageSize) -> list[LayerCount]:
    return count_layers(network, size)


def _inside(row: LayerCount, part: str) -> bool:
    return not part or f"{row.name}.".startswith(f"{part}.")


def measure_scales(network: nn.Module, sides: Iterable[int]) -> list[Counts]:
    """Counts at several square inputs, smallest first."""
    return [measure(network, ImageSize(side, side)) for side in sorted(sides)]
