"""Batch norm over the run: frozen at its end, equal over processes when measured."""

import math
import sys
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.plugins.layer_sync import TorchSyncBatchNorm
from torch import distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mnv2_dense.ops.sync_norms import separate, synchronize


class FreezeNorms(Callback):
    """In the last epochs, batch norms use and keep their running statistics.

    The network is then trained exactly as it is evaluated, which closes the gap between
    batch and running statistics. Scale and shift are still trained. The callback holds no
    state: the epoch alone decides, so it works after a resume and adds nothing to a
    checkpoint.

    Args:
        last_epochs: Number of epochs at the end of the run; 0 does nothing.
    """

    def __init__(self, last_epochs: int) -> None:
        self.last_epochs = last_epochs
        self._norms: list[nn.Module] = []

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Finds the norms, after SyncBatchNorm has taken the place of any."""
        self._norms = [module for module in pl_module.modules() if isinstance(module, _BatchNorm)]

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Freezes; at every batch, since `train()` after validation undoes it."""
        if trainer.current_epoch >= epochs_of_run(trainer) - self.last_epochs:
            for norm in self._norms:
                norm.training = False


class SameNormsEverywhere(Callback):
    """Gives every process rank 0's buffers before validation.

    Without SyncBatchNorm each process keeps running statistics of its own batches, so the
    processes would measure slightly different networks, none but rank 0's being saved.
    PyTorch's DDP would send the buffers at every forward pass, in validation too, where
    processes have unequally many batches and one would wait for the other: the strategy must
    be `DDPStrategy(broadcast_buffers=False)`. In the list of callbacks this one must follow
    the weight average, whose buffers it then evens out.
    """

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Broadcasts the buffers; does nothing with one process."""
        if trainer.world_size > 1:
            for buffer in pl_module.buffers():
                distributed.broadcast(buffer, src=0)


class SyncNorms(TorchSyncBatchNorm):
    """Norm statistics over all processes: PyTorch's on GPUs, ours on CPUs, which it refuses.

    The norms of timm's models have an activation of their own. PyTorch's conversion would
    drop it without a word, and Lightning's way back would drop it once more; so where timm is in
    use, its own conversion is made, once, and kept: a SyncBatchNorm that is not training asks no
    process.

    Args:
        on_cpu: Whether the processes are on CPUs.
    """

    def __init__(self, *, on_cpu: bool) -> None:
        self.on_cpu = on_cpu

    def apply(self, model: nn.Module) -> nn.Module:
        """The model with synchronised norms."""
        if self.on_cpu:
            return synchronize(model)
        timm = sys.modules.get("timm.layers")
        if timm is None:
            return super().apply(model)
        done = any(isinstance(module, nn.SyncBatchNorm) for module in model.modules())
        return model if done else timm.convert_sync_batchnorm(model)

    def revert(self, model: nn.Module) -> nn.Module:
        """The model as it was before, but for norms that timm has converted."""
        if self.on_cpu:
            return separate(model)
        return super().revert(model) if "timm.layers" not in sys.modules else model


def steps_per_epoch(trainer: Trainer) -> int:
    """Returns the optimiser steps of a whole epoch (the last may hold fewer batches)."""
    return max(1, math.ceil(trainer.num_training_batches / trainer.accumulate_grad_batches))


def epochs_of_run(trainer: Trainer) -> int:
    """Returns the epochs that the run will begin, whether epochs or steps limit it."""
    return math.ceil(trainer.estimated_stepping_batches / steps_per_epoch(trainer))
