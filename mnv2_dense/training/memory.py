"""Memory that a run has freed, given back to the system."""

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from mnv2_dense.ops.allocation import give_back_freed_memory


class ReturnMemory(Callback):
    """Gives the free memory of the C library's heap back after each epoch and evaluation.

    glibc keeps what was freed between blocks that are in use: after an evaluation some 100 MiB,
    growing by chance from epoch to epoch, which looks like a leak and is none
    (docs/experiments/memory). What steps keep for each other (ops/allocation.py) goes back, too.
    """

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Between two epochs."""
        give_back_freed_memory()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """After the predictions of a whole set."""
        give_back_freed_memory()
