"""Ctrl-C and SIGTERM: save the last checkpoint, then end with one line."""

import signal
from pathlib import Path
from types import FrameType
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.utilities.rank_zero import rank_zero_only

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


class InterruptCheckpoint(Checkpoint):
    """On Ctrl-C or SIGTERM, ends the step, saves `last.ckpt` and raises `RunInterrupted`.

    The checkpoint is saved between two optimiser steps, so a resumed run repeats and skips
    nothing. Within validation the run stops at once and a resumed one validates anew; with
    several processes, which must stop together, it stops at the end of validation. A second
    signal ends the run immediately and leaves the checkpoints as they are.

    It is a Lightning `Checkpoint` only because Lightning calls those after all other
    callbacks: the weight average must have taken in the last step. A ModelCheckpoint in the
    same folder needs `enable_version_counter=False`, or it would name its own `last-v1`.

    Args:
        folder: Where `last.ckpt` is written.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "last.ckpt"
        self._received: int | None = None
        self._previous: dict[signal.Signals, Any] = {}
        self._trainer: Trainer | None = None

    def on_sanity_check_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Listens for signals from the first validation batch on."""
        self._listen(trainer)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Listens for signals; after Lightning has set its own SIGTERM handler."""
        self._listen(trainer)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Stops after a whole optimiser step; an epoch's end is left to the hooks below."""
        stepped = (batch_idx + 1) % trainer.accumulate_grad_batches == 0
        if stepped and not trainer.is_last_batch and self._agreed(trainer):
            self._stop(trainer)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stops before validation, which a resumed run then does."""
        if trainer.state.fn == "fit" and not trainer.sanity_checking and self._agreed(trainer):
            self._stop_validation(trainer)

    def on_validation_batch_end(self, trainer: Trainer, *_: Any, **__: Any) -> None:
        """Stops within validation when there is only one process."""
        if self._received is None or trainer.state.fn != "fit" or trainer.world_size > 1:
            return
        if trainer.sanity_checking:
            raise RunInterrupted(self._received, trainer.global_step, None)
        self._stop_validation(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stops after an epoch without validation, or one whose validation just ended."""
        if self._agreed(trainer):
            self._stop(trainer)

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
        _announce("\nstopping after this step; press Ctrl-C again to stop without saving")

    def _agreed(self, trainer: Trainer) -> bool:
        """Whether any process received a signal: all must stop at the same step."""
        received = self._received is not None
        if trainer.world_size == 1:
            return received
        return trainer.strategy.reduce_boolean_decision(received, all=False)

    def _stop_validation(self, trainer: Trainer) -> None:
        # The checkpoint must say "in the first batch of validation": Lightning would resume
        # after the batches already seen, and the metric state of those is not saved.
        progress = trainer.fit_loop.epoch_loop.val_loop.batch_progress
        progress.reset()
        progress.increment_ready()
        progress.increment_started()
        self._stop(trainer)

    def _stop(self, trainer: Trainer) -> None:
        trainer.save_checkpoint(self.path, weights_only=False)
        number = self._received if self._received is not None else signal.SIGINT
        raise RunInterrupted(number, trainer.global_step, self.path)


@rank_zero_only
def _announce(text: str) -> None:
    """Prints; a log record would be lost where the command keeps Lightning's log quiet."""
    print(text, flush=True)
