"""Weights rounded to 8 bits before a file is written, with biases that make up for it.

Rounding shifts the mean of what a channel gives, and MobileNetV2's depthwise layers have nine
weights per channel over which the errors do not average out. The shift is known: it is the
rounding errors times the mean inputs, and goes into the bias.

Source: Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction"
(arXiv 1906.04721), section 4.2.
Differs from the paper: the mean inputs are measured on pictures, not derived from batch norms,
whose statistics an imported network has not got.
"""

import copy
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mnv2_dense.prediction.network import Deployed

LEVELS = 127
"""Largest whole number of a weight: the grid is the same on both sides of 0."""
HALF_LEVELS = 63
"""The same where two products of 8 bits are added in 16 bits, as CPUs without VNNI do it."""

MEASURED_PICTURES = 32
"""Means over all cells of a map need few pictures."""


def round_weights(
    deployed: Deployed, pictures: NDArray[np.uint8], levels: Callable[[int], int]
) -> Deployed:
    """A copy whose convolutions have weights of 8 bits, by output channel, in float32.

    The largest weight of each channel stays as it is, so that a toolkit that derives its scale
    from that finds the same grid.

    Args:
        deployed: Its norms are folded.
        pictures: Prepared as for prediction, [N, H, W, 3].
        levels: Largest whole number of the weights of a convolution, by the number of its groups.
    """
    rounded = copy.deepcopy(deployed)
    for convolution, mean in _mean_inputs(rounded, pictures[:MEASURED_PICTURES]).items():
        _round(convolution, mean, levels(convolution.groups))
    return rounded


@torch.inference_mode()
def _mean_inputs(network: nn.Module, pictures: NDArray[np.uint8]) -> dict[nn.Conv2d, Tensor]:
    """Mean of every input channel [C] of every convolution."""
    sums: dict[nn.Conv2d, Tensor] = {}

    def add(module: nn.Module, inputs: tuple[Tensor]) -> None:
        assert isinstance(module, nn.Conv2d)
        mean = inputs[0].mean(dim=(0, 2, 3), dtype=torch.float64)
        sums[module] = sums[module] + mean if module in sums else mean

    layers = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    hooks = [layer.register_forward_pre_hook(add) for layer in layers]
    for picture in pictures:
        network(torch.from_numpy(picture[None]))
    for hook in hooks:
        hook.remove()
    return {layer: total / len(pictures) for layer, total in sums.items()}


def _round(convolution: nn.Conv2d, mean: Tensor, levels: int) -> None:
    weight = convolution.weight.detach().double()
    largest = weight.abs().amax(dim=(1, 2, 3), keepdim=True)
    # Of a channel that is all zeros, any scale will do.
    scale = torch.where(largest > 0, largest / levels, 1.0)
    rounded = (weight / scale).round() * scale
    errors = (weight - rounded).sum(dim=(2, 3))
    by_group = mean.view(convolution.groups, -1).repeat_interleave(
        len(weight) // convolution.groups, dim=0
    )
    shift = (errors * by_group).sum(dim=1).float()
    bias = convolution.bias
    convolution.weight = nn.Parameter(rounded.float(), requires_grad=False)
    convolution.bias = nn.Parameter(shift if bias is None else bias + shift, requires_grad=False)
