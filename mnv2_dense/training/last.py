"""The last checkpoint within an epoch: every so many minutes, and when a signal ends the run."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from torch import distributed

from mnv2_dense.training.progress import tell
from mnv2_dense.training.runs import LAST

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class RunInterrupted(BaseException):
    """A run that a signal ended; `str()` is the one line that the command prints.

    Not a KeyboardInterrupt: Lightning catches that one, prints two lines of its own and
    exits with code 1. Not an Exception: no `except Exception` on the way may swallow it.

    Args:
        signal_number: The signal received.
        step: Optimiser steps taken.
        checkpoint: The checkpoint saved, or None when nothing was.
    """

    def __init__(self, signal_number: int, step: int, checkpoint: Path | None) -> None:
        verb = "interrupted" if signal_number == signal.SIGINT else "terminated"
        end = "resume with --resume" if checkpoint else "no checkpoint was saved for this step"
        super().__init__(f"{verb} at step {step}; {end}")
        self.signal_number = signal_number
        self.step = step
        self.checkpoint = checkpoint

    @property
    def exit_code(self) -> int:
        """Exit code by the shell's convention: 130 after Ctrl-C, 143 after SIGTERM."""
        return 128 + self.signal_number


_NOTHING, _SAVE = 0, 1
"""What a process wants after a step, beside the number of a signal that stops it: 2 and above."""


class LastCheckpoint(Checkpoint):
    """Saves `last.ckpt` every so many minutes; on Ctrl-C or SIGTERM saves it and stops.

    It is saved between two optimiser steps, so a resumed run repeats and skips nothing.
    Stopping raises `RunInterrupted`. Within validation the run stops at once and a resumed one
    validates anew; with several processes, which must stop together, it stops at the end of
    validation. A second signal ends the run immediately and leaves the checkpoints as they are.

    It is a Lightning `Checkpoint` only because Lightning calls those after all other
    callbacks: the weight average must have taken in the last step. A ModelCheckpoint in the
    same folder needs `enable_version_counter=False`, or it would name its own `last-v1`.

    Args:
        folder: Where `last.ckpt` is written.
        minutes: Time between two checkpoints within an epoch, by the clock of rank 0; None
            saves only when a signal ends the run.
    """

    def __init__(self, folder: Path, minutes: float | None = None) -> None:
        self.path = folder / LAST
        self.seconds = None if minutes is None else 60 * minutes
        self._saved = 0.0
        self._received: int | None = None
        self._previous: dict[signal.Signals, Any] = {}
        self._trainer: Trainer | None = None

    def on_sanity_check_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Listens for signals from the first validation batch on."""
        self._listen(trainer)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Listens for signals; after Lightning has set its own SIGTERM handler."""
        self._listen(trainer)
        self._saved = time.monotonic()

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Saves or stops between two steps of an epoch; its end is left to the hooks below."""
        if batch_idx == 0 or batch_idx % trainer.accumulate_grad_batches:
            return
        wish = self._agree(trainer)
        if wish != _NOTHING:
            with _not_yet_begun(trainer):
                self._save(trainer)
        self._stop(trainer, wish)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stops before validation, which a resumed run then does."""
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            self._stop_validation(trainer, self._agree(trainer))

    def on_validation_batch_end(self, trainer: Trainer, *_: Any, **__: Any) -> None:
        """Stops within validation when there is only one process."""
        if self._received is None or trainer.state.fn != "fit" or trainer.world_size > 1:
            return
        if trainer.sanity_checking:
            raise RunInterrupted(self._received, trainer.global_step, None)
        self._stop_validation(trainer, self._received)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stops after an epoch without validation, or one whose validation just ended."""
        wish = self._agree(trainer)
        if wish > _SAVE:
            self._save(trainer)
        self._stop(trainer, wish)
        self._saved = time.monotonic()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Gives the signals back."""
        self._restore()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Gives the signals back; a further Ctrl-C during the shutdown is ignored."""
        self._restore()
        if isinstance(exception, RunInterrupted):
            signal.signal(signal.SIGINT, signal.SIG_IGN)

    def _listen(self, trainer: Trainer) -> None:
        self._trainer = trainer
        if not self._previous:
            self._previous = {number: signal.getsignal(number) for number in _SIGNALS}
        for number in _SIGNALS:
            signal.signal(number, self._receive)

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}

    def _receive(self, number: int, frame: FrameType | None) -> None:
        assert self._trainer is not None
        if self._received is not None:
            raise RunInterrupted(number, self._trainer.global_step, None)
        self._received = number
        tell("\nstopping after this step; a second signal stops without saving")

    def _wish(self, trainer: Trainer) -> int:
        if self._received is not None:
            return self._received
        due = self.seconds is not None and time.monotonic() - self._saved >= self.seconds
        return _SAVE if due and trainer.is_global_zero else _NOTHING

    def _agree(self, trainer: Trainer) -> int:
        """The greatest wish of all processes, which must save and stop at the same step."""
        wish = self._wish(trainer)
        if trainer.world_size == 1:
            return wish
        wishes = torch.tensor(wish, device=trainer.strategy.root_device)
        distributed.all_reduce(wishes, op=distributed.ReduceOp.MAX)
        return int(wishes)

    def _stop_validation(self, trainer: Trainer, wish: int) -> None:
        if wish <= _SAVE:
            return
        # The checkpoint must say "in the first batch of validation": Lightning would resume
        # after the batches already seen, and the metric state of those is not saved.
        progress = trainer.fit_loop.epoch_loop.val_loop.batch_progress
        progress.reset()
        progress.increment_ready()
        progress.increment_started()
        self._save(trainer)
        self._stop(trainer, wish)

    def _save(self, trainer: Trainer) -> None:
        trainer.save_checkpoint(self.path, weights_only=False)
        self._saved = time.monotonic()

    def _stop(self, trainer: Trainer, wish: int) -> None:
        if wish > _SAVE:
            raise RunInterrupted(wish, trainer.global_step, self.path)


@contextmanager
def _not_yet_begun(trainer: Trainer) -> Iterator[None]:
    """Counts the batch that was fetched last as one to come.

    Only now, with the next batch at hand, does Lightning have logged the step before and
    counted it in the log's step; in `on_train_batch_end` a checkpoint would miss its row.
    """
    progress = trainer.fit_loop.epoch_loop.batch_progress
    for counts in (progress.current, progress.total):
        counts.ready -= 1
    yield
    for counts in (progress.current, progress.total):
        counts.ready += 1
