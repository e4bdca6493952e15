"""Batch norms whose running statistics are not those of the data, made so."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


class _Moments:
    """Sum and sum of squares of a norm's inputs, per channel, in float64."""

    def __init__(self, norm: _BatchNorm) -> None:
        self.sums = torch.zeros(2, norm.num_features, dtype=torch.float64)
        self.count = 0

    def add(self, _norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        """A hook that sees what the norm is given."""
        values = inputs[0].detach().double().transpose(0, 1).flatten(1)
        self.sums += torch.stack([values.sum(1), values.square().sum(1)]).cpu()
        self.count += values.shape[1]


@contextmanager
def measure_norms(network: nn.Module) -> Iterator[None]:
    """Takes the statistics of whatever the network is shown meanwhile into its batch norms.

    Mean and variance become those of the data, and scale and shift make up for it: in
    evaluation the network computes what it did, and in training, where a batch norm uses the
    statistics of its batch, about the same. A norm that sees no value stays as it was.

    Args:
        network: In evaluation mode.
    """
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    moments = [_Moments(norm) for norm in norms]
    hooks = [
        norm.register_forward_pre_hook(each.add) for norm, each in zip(norms, moments, strict=True)
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
    for norm, each in zip(norms, moments, strict=True):
        if each.count:
            mean, square = each.sums / each.count
            set_statistics(norm, mean, (square - mean.square()).clamp(min=0))


@torch.no_grad()
def set_statistics(norm: _BatchNorm, mean: Tensor, variance: Tensor) -> None:
    """Gives a norm other running statistics, without a change of what it computes.

    Args:
        norm: With scale and shift.
        mean: float64 [C].
        variance: float64 [C].
    """
    old_mean, old_variance = norm.running_mean, norm.running_var
    assert old_mean is not None
    assert old_variance is not None
    factor = norm.weight.double() / (old_variance.double() + norm.eps).sqrt()
    shift = norm.bias.double() + factor * (mean - old_mean.double())
    norm.weight.copy_(factor * (variance + norm.eps).sqrt())
    norm.bias.copy_(shift)
    old_mean.copy_(mean)
    old_variance.copy_(variance)
