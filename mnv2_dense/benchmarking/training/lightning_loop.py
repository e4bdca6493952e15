"""A run of Lightning whose steps take turns with those of a loop written by hand."""

import time
import warnings
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback
from torch.utils.data import DataLoader

from mnv2_dense.benchmarking.interleaving import Call, Timing
from mnv2_dense.benchmarking.training.subjects import Subject, hand_step
from mnv2_dense.builders.trainer import build_trainer
from mnv2_dense.training.progress import RunProgress

LIGHTNING, BY_HAND = "step of a run, logged and shown", "step of a loop by hand"
WARM = 3
"""First steps that are not counted."""


class TakeTurns(Callback):
    """Makes a step by hand after each of Lightning's, and times both.

    Lightning's goes from one `on_train_batch_end` to the next: what it does after a step, such as
    logging, belongs to the step after.

    Args:
        step: By hand.
    """

    def __init__(self, step: Call) -> None:
        self.step = step
        self.lightning: list[float] = []
        self.by_hand: list[float] = []
        self._ended = 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Starts the clock."""
        self._ended = time.perf_counter()

    def on_train_batch_end(self, *_: Any, **__: Any) -> None:
        """Stops it for as long as the step by hand takes."""
        start = time.perf_counter()
        self.lightning.append(start - self._ended)
        self.step()
        self._ended = time.perf_counter()
        self.by_hand.append(self._ended - start)


def measure_lightning(subject: Subject, repetitions: int, folder: Path) -> dict[str, Timing]:
    """Times steps of a run with all its callbacks, every step logged, the bar drawn.

    Args:
        subject: What is trained, in both ways, on the same batch.
        repetitions: Steps of each way that count.
        folder: Of the run.
    """
    steps = repetitions + WARM
    training = subject.config.training.model_copy(update={"epochs": 1, "log_every": 1})
    config = subject.config.model_copy(update={"training": training})
    task, batch = subject.build(), subject.batch
    turns = TakeTurns(hand_step(subject.build(), batch))
    trainer = build_trainer(config, folder, task.score)
    callbacks: list[Callback] = trainer.callbacks  # pyrefly: ignore[missing-attribute]
    for each in callbacks:
        if isinstance(each, RunProgress):
            each.terminal = True
    callbacks.append(turns)
    trainer.limit_val_batches = 0
    with warnings.catch_warnings(), redirect_stdout(StringIO()):
        warnings.simplefilter("ignore")
        trainer.fit(task, DataLoader([batch] * steps, batch_size=None))  # pyrefly: ignore
    return {
        LIGHTNING: Timing(tuple(turns.lightning[WARM:])),
        BY_HAND: Timing(tuple(turns.by_hand[WARM:])),
    }
