"""What a run shows while it goes: a bar on a terminal, a line now and then in a log."""

import sys
import time
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import TQDMProgressBar
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from mnv2_dense.training.norms import epochs_of_run

_BAR_SECONDS = 0.2
_LINE_SECONDS = 15.0


@rank_zero_only
def tell(text: str) -> None:
    """Prints; a log record would be lost where the command keeps Lightning's log quiet."""
    print(text, flush=True)


def format_duration(seconds: float) -> str:
    """Returns a duration as `3:07` or `2:03:07`, with days in front when there are any."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    clock = f"{hour}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"
    return f"{days}d {clock}" if days else clock


class RunProgress(TQDMProgressBar):
    """Shows epoch, losses, learning rate and the time left of the whole run.

    Losses are what the task logs with `prog_bar=True`. On a terminal they follow Lightning's
    bar of the epoch; elsewhere (a log file, a pipe) a plain line is printed every
    `line_seconds` and at the last step.

    Args:
        line_seconds: Least seconds between two lines when the output is no terminal.
        terminal: Whether the output is a terminal; None asks it.
    """

    def __init__(self, line_seconds: float = _LINE_SECONDS, terminal: bool | None = None) -> None:
        super().__init__()
        self.line_seconds = line_seconds
        self.terminal = sys.stdout.isatty() if terminal is None else terminal
        self._started = self._shown = 0.0
        self._first_step = 0

    @property
    def is_enabled(self) -> bool:
        """Whether the bars are drawn: only on a terminal, and by rank 0."""
        return self.terminal and super().is_enabled

    def on_train_start(self, *_: Any) -> None:
        """Starts the clock; a resumed run counts from the step it starts at."""
        super().on_train_start()
        self._started = self._shown = time.monotonic()
        self._first_step = self.trainer.global_step

    def on_train_epoch_start(self, trainer: Trainer, *_: Any) -> None:
        """Names the epoch, from 1, and the number of epochs."""
        super().on_train_epoch_start(trainer)
        self.train_progress_bar.set_description(_epoch(trainer))

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Redraws the bar, or prints a line when it is time for one."""
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
        total = int(trainer.estimated_stepping_batches)
        due = time.monotonic() - self._shown >= self.line_seconds
        ends = trainer.global_step >= total
        if self.terminal or not self._enabled or not (due or ends):
            return
        self._shown = time.monotonic()
        values = self.get_metrics(trainer, pl_module)
        shown = " ".join(f"{name} {_number(value)}" for name, value in values.items())
        print(f"{_epoch(trainer)} step {trainer.global_step}/{total} {shown}", flush=True)

    def get_metrics(
        self, trainer: Trainer, pl_module: LightningModule
    ) -> dict[str, int | str | float | dict[str, float]]:
        """Returns the values to show: what the task logged, learning rate and time left."""
        values = dict(super().get_metrics(trainer, pl_module))
        values.pop("v_num", None)
        if trainer.optimizers:
            values["lr"] = f"{trainer.optimizers[0].param_groups[0]['lr']:.3g}"
        values["eta"] = self._time_left(trainer)
        return values

    def _time_left(self, trainer: Trainer) -> str:
        """Time for the steps left at the pace of this session, validation included."""
        done = trainer.global_step - self._first_step
        if done <= 0:
            return "?"
        left = max(0, int(trainer.estimated_stepping_batches) - trainer.global_step)
        return format_duration((time.monotonic() - self._started) / done * left)

    def _should_update(self, current: int, total: int) -> bool:
        # By the clock, not per step: reading the values of the bar waits for the device.
        if not self.is_enabled or (
            current != total and time.monotonic() - self._shown < _BAR_SECONDS
        ):
            return False
        self._shown = time.monotonic()
        return True


def _epoch(trainer: Trainer) -> str:
    return f"epoch {trainer.current_epoch + 1}/{epochs_of_run(trainer)}"


def _number(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
