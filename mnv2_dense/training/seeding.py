"""Random numbers of the training steps, such as dropout's, that a resumed run draws again."""

from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from mnv2_dense.training.sampling import derive_seed


class SeedSteps(Callback):
    """Seeds PyTorch anew for every training batch.

    The seed is a pure function of run, epoch, batch and process, so a resumed run draws what an
    uninterrupted one would have drawn, and processes, which see other samples, draw others.

    Args:
        seed: The run's.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Seeds all devices."""
        place = (self.seed, trainer.current_epoch, batch_idx, trainer.global_rank)
        torch.manual_seed(derive_seed(*place))
