"""The log of a run, which a run that was killed continues without a row lost or doubled."""

import csv
import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities.rank_zero import rank_zero_only
from torch import Tensor

from mnv2_dense.training.durable import replace_durably

FLUSHED_ROWS = 100
"""Rows that wait at most; a checkpoint writes those that wait."""

Row = dict[str, Any]


class RunLog(Logger):
    """Logged values as rows of a CSV file, which an earlier session may have begun.

    Differs from Lightning's CSVLogger, which deletes the file of the session before, and
    rewrites it in place when a new column appears, where a kill loses all of it.

    Args:
        file: The CSV file; what stands in it is kept.
    """

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.file = file
        self._columns, self._written = _read_rows(file)
        self._waiting: list[Row] = []
        self._newest = self._read_newest()

    @property
    def name(self) -> str:
        """None."""
        return ""

    @property
    def version(self) -> str:
        """None."""
        return ""

    @property
    def save_dir(self) -> str:
        """The run's folder."""
        return str(self.file.parent)

    @property
    def log_dir(self) -> str:
        """The run's folder."""
        return self.save_dir

    @property
    def rows(self) -> int:
        """Number of rows so far, of all sessions."""
        return self._written + len(self._waiting)

    @rank_zero_only
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Does nothing: `config.yaml` has them all."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Adds a row, but for one that equals the row before it.

        Lightning logs each learning rate twice, and a resumed run those of its first step again.
        """
        row = {**{key: _number(value) for key, value in metrics.items()}, "step": step}
        if _shown(row) == self._newest:
            return
        self._newest = _shown(row)
        self._waiting.append(row)
        if len(self._waiting) >= FLUSHED_ROWS:
            self.save()

    @rank_zero_only
    def save(self) -> None:
        """Writes the rows that wait; a new column makes the file anew, in one step.

        Lightning asks for it at every logged step: a killed process loses none of these, and what a
        power failure may take is settled by `sync`.
        """
        columns = sorted(set().union(self._columns, *self._waiting))
        if columns != self._columns:
            self._rewrite(columns, self._written)
        if self._waiting:
            self._append(_to_text(self._columns, self._waiting))
            self._written += len(self._waiting)
            self._waiting = []

    def _append(self, text: str) -> None:
        try:
            with self.file.open("a", encoding="utf-8", newline="") as file:
                file.write(text)
        except OSError as error:  # A full disk names no file.
            raise OSError(error.errno, error.strerror, str(self.file)) from error

    @rank_zero_only
    def sync(self) -> None:
        """Writes the rows that wait, and has all of them on the disk."""
        self.save()
        if not self.file.exists():
            return
        try:
            with self.file.open("ab") as file:
                os.fsync(file.fileno())
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self.file)) from error

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Writes the rows that wait."""
        self.sync()

    @rank_zero_only
    def cut(self, rows: int) -> None:
        """Keeps the first rows only: a run goes on from where there were so many."""
        self._waiting = []
        if rows < self._written:
            self._rewrite(self._columns, rows)
        self._newest = self._read_newest()

    def _read_newest(self) -> dict[str, str]:
        """The last row of the file."""
        return _shown((_load(self.file) or [{}])[-1])

    def _rewrite(self, columns: list[str], rows: int) -> None:
        before = _load(self.file)[:rows]
        header = dict(zip(columns, columns, strict=True))
        content = _to_text(columns, [header, *before]).encode()
        replace_durably(self.file, lambda file: file.write(content))
        self._columns, self._written = columns, len(before)


class LogKeeper(Callback):
    """Writes the logs out with every checkpoint, and continues them from there.

    Rows that were logged after the checkpoint are logged again by the resumed run.

    Args:
        log: The run's.
    """

    def __init__(self, log: RunLog) -> None:
        self.run_log = log

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """A kill right after the checkpoint must not cost a row that it counts."""
        for logger in trainer.loggers:
            logger.save()
        self.run_log.sync()

    def state_dict(self) -> dict[str, Any]:
        """Number of rows so far."""
        return {"rows": self.run_log.rows}

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Cuts the log to the rows of that moment; the best checkpoint is loaded to be measured."""
        kept = checkpoint["callbacks"].get(self.state_key)
        if trainer.state.fn == "fit" and kept is not None:
            self.run_log.cut(kept["rows"])


def _read_rows(file: Path) -> tuple[list[str], int]:
    """Columns and number of rows of a log; a last line that a kill cut short is taken off."""
    if not file.exists():
        return [], 0
    whole = file.read_bytes()
    kept = whole[: whole.rfind(b"\n") + 1]
    if kept != whole:
        replace_durably(file, lambda out: out.write(kept))
    if not kept:
        return [], 0
    try:
        columns, *rows = csv.reader(kept.decode().splitlines())
    except (UnicodeDecodeError, csv.Error):
        # A damaged log must not keep a run from going on.
        file.replace(file.with_name(f"{file.stem}-damaged{file.suffix}"))
        return [], 0
    return columns, len(rows)


def _load(file: Path) -> list[Row]:
    if not file.exists():
        return []
    with file.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def _to_text(columns: list[str], rows: list[Row]) -> str:
    text = io.StringIO(newline="")
    csv.DictWriter(text, columns).writerows(rows)
    return text.getvalue()


def _shown(row: Row) -> dict[str, str]:
    """A row as the file has it, without its empty places."""
    return {key: str(value) for key, value in row.items() if value not in (None, "")}


def _number(value: Any) -> Any:
    return value.item() if isinstance(value, Tensor) else value
