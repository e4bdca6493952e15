"""How fast a run trains, and whether it waits for its data."""

import time
from collections.abc import Callable
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback


def count_images(batch: Any) -> int:
    """Returns the number of images of a batch that has the field `images`."""
    return len(batch.images)


class ImagesPerSecond(Callback):
    """Logs the pace of training over each logging interval, validation excluded.

    `train/images_per_second` counts the images of all processes. `train/data_wait` is the
    share of the time spent between two steps, nearly all of it waiting for the loader: near
    0 the network is the limit, near 1 the data. On a GPU `train/device_memory_gib` is the
    peak of allocated memory.

    Steps are timed on the host. A GPU may lag behind by a step, which evens out over an
    interval.

    Args:
        every_steps: Optimiser steps of an interval; the Trainer's `log_every_n_steps`, since
            Lightning's loggers take values at those steps only.
        count: Returns the number of images of a batch.
    """

    def __init__(self, every_steps: int, count: Callable[[Any], int] = count_images) -> None:
        self.every_steps = every_steps
        self._count = count
        self._reset(0.0)

    def _reset(self, now: float) -> None:
        self._began = self._step_ended = now
        self._images = 0
        self._waited = self._validated = 0.0
        self._validation_started = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Starts the first interval."""
        self._reset(time.perf_counter())

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stops the clock."""
        self._validation_started = time.perf_counter()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Starts the clock again, as if the validation had taken no time."""
        elapsed = time.perf_counter() - self._validation_started
        self._validated += elapsed
        self._step_ended += elapsed

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Counts the wait for the batch and its images."""
        self._waited += time.perf_counter() - self._step_ended
        self._images += self._count(batch)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Logs when an interval is full."""
        self._step_ended = time.perf_counter()
        if (batch_idx + 1) % trainer.accumulate_grad_batches or (
            trainer.global_step % self.every_steps
        ):
            return
        elapsed = max(self._step_ended - self._began - self._validated, 1e-9)
        values = {
            "train/images_per_second": self._images * trainer.world_size / elapsed,
            "train/data_wait": self._waited / elapsed,
        }
        if pl_module.device.type == "cuda":
            peak = torch.cuda.max_memory_allocated(pl_module.device)
            values["train/device_memory_gib"] = peak / 2**30
        pl_module.log_dict(values, on_step=True, on_epoch=False, batch_size=1)
        self._reset(self._step_ended)
