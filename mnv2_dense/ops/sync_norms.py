"""Batch norm with the statistics of all processes on CPUs, where PyTorch has none."""

from functools import cache
from typing import Any, ClassVar

import torch
from torch import Tensor, distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mnv2_dense.ops.processes import is_shared


class SyncNorm(_BatchNorm):
    """What a batch norm of any kind becomes, see `synchronize`.

    Parameters, buffers and their names stay. Evaluation asks no process. Every value of every
    process weighs the same, also where processes have unequally many; each must have one. The
    statistics are exchanged in float64, in which BatchNorm on a CPU adds up too.
    """

    plain: ClassVar[type[_BatchNorm]]
    """What the norm was."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalised values, [B, C, ...] as they came."""
        if not (self.training and is_shared()):
            return super().forward(input)
        mean, variance, count = global_moments(input)
        if self.track_running_stats:
            self._follow(mean, variance * count / (count - 1).clamp(min=1))
        moments = (mean, variance, count)
        output = _Normalize.apply(input, self.weight, self.bias, *moments, self.eps)
        for name in ("drop", "act"):  # Norms of timm's models hold what follows them.
            output = getattr(self, name)(output) if hasattr(self, name) else output
        return output

    @torch.no_grad()
    def _follow(self, mean: Tensor, variance: Tensor) -> None:
        """Moves the running statistics towards a batch's mean and unbiased variance."""
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.mul_(1 - share).add_(share * mean)
        self.running_var.mul_(1 - share).add_(share * variance)


@torch.no_grad()
def global_moments(values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean [C] and biased variance [C] of all processes' values, and their number per channel.

    Each process sends its own mean and the squares around it, so that a mean far from zero costs no
    digits.

    Args:
        values: [B, C, ...] of this process.

    Returns:
        Three float64 tensors, the last one scalar.

    Source: Chan, Golub, LeVeque, "Updating Formulae and a Pairwise Algorithm", 1979.
    """
    rows = values.transpose(0, 1).flatten(1).double()
    variance, mean = torch.var_mean(rows, dim=1, correction=0)
    own = torch.cat([mean, variance, mean.new_tensor([rows.shape[1]])])
    shares = [torch.empty_like(own) for _ in range(distributed.get_world_size())]
    distributed.all_gather(shares, own)
    gathered = torch.stack(shares)
    means, variances, counts = gathered.split([len(mean), len(mean), 1], dim=1)
    total = counts.sum()
    mean = (counts * means).sum(0) / total
    variance = (counts * (variances + (means - mean).square())).sum(0) / total
    return mean, variance, total


class _Normalize(torch.autograd.Function):
    """Scales and shifts by given statistics, whose share in the gradient is all processes'."""

    @staticmethod
    # pyrefly: ignore[bad-override]  Function's own is (*args, **kwargs)
    def forward(
        ctx: Any,
        values: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        mean: Tensor,
        variance: Tensor,
        count: Tensor,
        epsilon: float,
    ) -> Tensor:
        """Values normalised in their own memory format."""
        scale = (variance + epsilon).rsqrt()
        # In float64, for a mean far from zero leaves few digits of the difference.
        normalized = (values.double() - _along(mean, values)) * _along(scale, values)
        normalized = normalized.to(torch.promote_types(values.dtype, torch.float32))
        ctx.save_for_backward(normalized, weight, scale, count)
        ctx.dtype = values.dtype
        output = normalized if weight is None else normalized * _along(weight, values)
        output = output if bias is None else output + _along(bias, values)
        return output.to(values.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of this process's values, and its share of those of weight and bias."""
        normalized, weight, scale, count = ctx.saved_tensors
        gradient = gradients[0].to(normalized.dtype)
        around = [0, *range(2, gradient.dim())]
        shift = gradient.sum(around, dtype=torch.float64)
        slope = (gradient * normalized).sum(around, dtype=torch.float64)
        sums = torch.stack([shift, slope])
        distributed.all_reduce(sums)
        shares = [_along(each.to(normalized.dtype), gradient) for each in sums / count]
        factor = (scale if weight is None else scale * weight).to(normalized.dtype)
        inward = (gradient - shares[0] - normalized * shares[1]) * _along(factor, gradient)
        inward = inward.to(ctx.dtype)
        if weight is None:
            return inward, None, None, None, None, None, None
        own = (slope.to(weight.dtype), shift.to(weight.dtype))
        return inward, *own, None, None, None, None


def _along(statistic: Tensor, values: Tensor) -> Tensor:
    """One number per channel [C], shaped for [B, C, ...]."""
    return statistic.view(1, -1, *[1] * (values.dim() - 2))


def synchronize(network: nn.Module) -> nn.Module:
    """Lets all batch norms of a network, in place, use the statistics of all processes."""
    for module in network.modules():
        if isinstance(module, _BatchNorm) and not isinstance(module, SyncNorm):
            module.__class__ = _synchronized(type(module))
    return network


def separate(network: nn.Module) -> nn.Module:
    """Undoes `synchronize`."""
    for module in network.modules():
        if isinstance(module, SyncNorm):
            module.__class__ = module.plain  # pyrefly: ignore[bad-argument-type]
    return network


@cache
def _synchronized(kind: type[_BatchNorm]) -> type[SyncNorm]:
    return type(f"Sync{kind.__name__}", (SyncNorm, kind), {"plain": kind})
