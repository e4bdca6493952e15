"""Memory that a run has freed, given back to the system."""

import ctypes
import sys
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback


class ReturnMemory(Callback):
    """Gives the free memory of the C library's heap back after each epoch and evaluation.

    glibc keeps what was freed between blocks that are in use: after an evaluation some 100 MiB,
    growing by chance from epoch to epoch, which looks like a leak and is none
    (docs/experiments/memory). Other C libraries have no such call; there it does nothing.
    """

    def __init__(self) -> None:
        self._trim: Any = None
        if sys.platform == "linux":
            self._trim = getattr(ctypes.CDLL(None), "malloc_trim", None)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Between two epochs."""
        self._give_back()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """After the predictions of a whole set."""
        self._give_back()

    def _give_back(self) -> None:
        if self._trim is not None:
            self._trim(0)
