"""The place within an epoch, kept when the batches of a resumed run are of another size."""

from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

COUNTERS = ("ready", "started", "processed", "completed")


class KeepPlace(Callback):
    """Counts the batches of an unfinished epoch anew, where processes or batch size changed.

    Lightning counts batches, not images: 6 batches of 2 processes are 12 of one process that
    accumulates two. Where the images do not make whole batches, some are seen once more.

    Args:
        batch_size: Training images per batch and process.
    """

    def __init__(self, batch_size: int) -> None:
        self.batch_size = batch_size
        self._images = batch_size

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Counts the processes."""
        self._images = self.batch_size * trainer.world_size

    def state_dict(self) -> dict[str, Any]:
        """Images of one batch of all processes."""
        return {"images": self._images}

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Changes the counts of batches before Lightning takes them over."""
        before = checkpoint["callbacks"].get(self.state_key, {}).get("images")
        now = self.batch_size * trainer.world_size
        if before in (None, now):  # Older checkpoints do not say.
            return
        progress = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]
        for counts in (progress["current"], progress["total"]):
            counts.update({key: counts[key] * before // now for key in COUNTERS})
