"""What the processes of a run tell each other."""

from typing import Any

import torch
from torch import Tensor, distributed


def is_shared() -> bool:
    """Whether this process works together with others."""
    return (
        distributed.is_available()
        and distributed.is_initialized()
        and distributed.get_world_size() > 1
    )


def mean_over_processes(count: Tensor, least: float = 0) -> Tensor:
    """The mean of a count over all processes, without gradient; alone, the count itself.

    A loss divided by it has a gradient whose mean over the processes, which DDP takes, is the
    gradient of the whole batch: the sum of the processes' losses over the sum of their counts.
    Every process must call this equally often, so it is for training only.

    Args:
        count: What this process alone would divide by.
        least: What the sum over the processes is raised to.
    """
    if not is_shared():
        return count.clamp(min=least)
    total = count.detach().to(torch.float64, copy=True)
    distributed.all_reduce(total)
    return total.clamp(min=least) / distributed.get_world_size()


def gather(share: Any) -> list[Any]:
    """What every process has to say, by rank; all must call it."""
    if not is_shared():
        return [share]
    shares: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(shares, share)
    return shares
