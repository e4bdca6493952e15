"""A training step that changes nothing, though its forward passes have been made."""

from collections.abc import Sequence

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor
from torch.optim import Optimizer


def nothing_to_learn(pl_module: LightningModule) -> Tensor:
    """A loss of 0 that gives every parameter a gradient of 0, as DDP waits for all of them.

    Lightning refuses a step without a loss where there are several processes.
    """
    trained = [each for each in pl_module.parameters() if each.requires_grad]
    return 0 * torch.stack([each.sum() for each in trained]).sum()


def leave_out(trainer: Trainer, optimizer: Optimizer, buffers: Sequence[Tensor]) -> None:
    """Keeps weights, the optimiser's state, running statistics and weight average as they were.

    To be called before the optimiser's step, which is counted but has nothing to do: optimisers
    pass over a parameter without gradient, its decay and momentum included.

    Args:
        trainer: Of the run.
        optimizer: Its optimiser.
        buffers: Copies of the module's buffers, from before the step.
    """
    optimizer.zero_grad(set_to_none=True)
    with torch.no_grad():
        for buffer, before in zip(trainer.lightning_module.buffers(), buffers, strict=True):
            buffer.copy_(before)
    for each in trainer.callbacks:  # pyrefly: ignore[missing-attribute]
        if isinstance(each, WeightAveraging):
            # As if it had taken in the step that is about to be counted.
            each._latest_update_step = trainer.global_step + 1
