"""When a run is evaluated: every so many epochs, and always at its end."""

from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from mnv2_dense.training.norms import epochs_of_run


class ValidateEvery(Callback):
    """Evaluates every `epochs` epochs and at the end of the run, wherever a limit puts it.

    Lightning alone leaves out a last epoch that is no multiple, and an epoch that
    `max_steps` cuts short.

    Args:
        epochs: Epochs between evaluations.
    """

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Tells Lightning whether this epoch ends with an evaluation."""
        last = trainer.current_epoch + 1 >= epochs_of_run(trainer)
        trainer.check_val_every_n_epoch = 1 if last else self.epochs

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Ends the run by its last step in a way that Lightning evaluates."""
        if trainer.max_steps != -1 and trainer.global_step >= trainer.max_steps:
            trainer.should_stop = True
