"""The loop that trains a peer: the product's batches and seeds, and nothing of its own."""

import time
from collections.abc import Callable, Iterator, Sequence
from statistics import median
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from mnv2_dense.errors import UserError
from mnv2_dense.structures import SampleKey
from mnv2_dense.training.sampling import EpochSampler, derive_seed

Keys = Sequence[SampleKey]


class Recipe(NamedTuple):
    """How a network is trained.

    loss: of the samples of a batch, which it loads and augments itself.
    rate_factor: share of the peak rate, of the step.
    clip: largest norm of the whole gradient; None does not clip.
    """

    loss: Callable[[Keys], Tensor]
    optimizer: Optimizer
    rate_factor: Callable[[int], float]
    clip: float | None = None


def plan_batches(length: int, *, batch: int, steps: int, seed: int) -> Iterator[Keys]:
    """The samples of every step, in the order in which the product trains on them."""
    sampler = EpochSampler(length, seed=seed, shuffle=True, pad=True, batch_size=batch)
    epoch = 0
    while steps > 0:
        sampler.set_epoch(epoch)
        keys = list(sampler)
        for first in range(0, min(len(keys), steps * batch), batch):
            yield keys[first : first + batch]
            steps -= 1
        epoch += 1


def train(network: nn.Module, recipe: Recipe, batches: Iterator[Keys], seed: int) -> float:
    """Trains a network; returns the median seconds of a step, data included.

    Raises:
        UserError: The loss is not finite.
    """
    schedule = LambdaLR(recipe.optimizer, recipe.rate_factor)
    network.train()
    seconds = []
    for step, keys in enumerate(batches):
        began = time.perf_counter()
        torch.manual_seed(derive_seed(seed, step))
        loss = recipe.loss(keys)
        if not loss.isfinite():
            raise UserError(f"step {step}: the loss is {loss.item()}; this recipe diverges here")
        recipe.optimizer.zero_grad()
        loss.backward()
        if recipe.clip is not None:
            nn.utils.clip_grad_norm_(network.parameters(), recipe.clip)
        recipe.optimizer.step()
        schedule.step()
        seconds.append(time.perf_counter() - began)
    return median(seconds)
