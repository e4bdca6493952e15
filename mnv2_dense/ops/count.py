"""Parameters and multiply-adds of a network, layer by layer."""

from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from mnv2_dense.structures import ImageSize


class LayerCount(NamedTuple):
    """One convolution or linear layer, or one norm: what it holds and what it computes."""

    name: str
    kind: str
    output_shape: tuple[int, ...]
    parameters: int
    multiply_adds: int


def count_layers(network: nn.Module, size: ImageSize) -> list[LayerCount]:
    """Layers that hold parameters, in the order they run on one image of `size`.

    Multiply-adds are those of convolutions and linear layers; bias, norm, activation,
    pooling and addition are not counted, as in the paper. A layer that runs twice has its
    multiply-adds in two rows and its parameters in the first.
    """
    rows: list[LayerCount] = []
    hooks = [
        layer.register_forward_hook(partial(_record, rows, name))
        for name, layer in network.named_modules()
        if list(layer.parameters(recurse=False))
    ]
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        device = next(network.parameters()).device
        with torch.no_grad():
            network(torch.zeros(1, 3, *size, device=device))
    finally:
        for module, training in modes.items():  # one by one: frozen norms stay frozen
            module.training = training
        for hook in hooks:
            hook.remove()
    return rows


def _record(
    rows: list[LayerCount], name: str, layer: nn.Module, _inputs: object, output: Tensor
) -> None:
    repeated = any(row.name == name for row in rows)
    parameters = sum(p.numel() for p in layer.parameters(recurse=False) if p.requires_grad)
    rows.append(
        LayerCount(
            name,
            type(layer).__name__,
            tuple(output.shape),
            0 if repeated else parameters,
            _multiply_adds(layer, output),
        )
    )


def _multiply_adds(layer: nn.Module, output: Tensor) -> int:
    if isinstance(layer, nn.Conv2d | nn.Linear):
        return output.numel() * layer.weight.numel() // layer.weight.shape[0]
    return 0
