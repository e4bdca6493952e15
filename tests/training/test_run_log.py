import csv
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback

from mnv2_dense.training import run_log
from mnv2_dense.training.last import LastCheckpoint
from mnv2_dense.training.run_log import LogKeeper, RunLog
from tests.training.tiny import TinyModule, tiny_data, tiny_trainer


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as lines:
        return [
            {key: value for key, value in row.items() if value} for row in csv.DictReader(lines)
        ]


def test_rows_and_columns(tmp_path: Path) -> None:
    log = RunLog(tmp_path / "metrics.csv")
    log.log_metrics({"loss": torch.tensor(0.5)}, step=0)
    log.log_metrics({"loss": 0.25}, step=1)
    log.save()
    log.log_metrics({"mAP, all": 0.1}, step=1)
    log.finalize("success")
    assert rows(log.file) == [
        {"loss": "0.5", "step": "0"},
        {"loss": "0.25", "step": "1"},
        {"mAP, all": "0.1", "step": "1"},
    ]


def test_another_session_goes_on(tmp_path: Path) -> None:
    for session in range(3):
        log = RunLog(tmp_path / "metrics.csv")
        assert log.rows == session
        log.log_metrics({f"value{session}": session}, step=session)
        log.save()
    assert [row["step"] for row in rows(log.file)] == ["0", "1", "2"]


def test_rows_after_the_checkpoint_are_cut(tmp_path: Path) -> None:
    log = RunLog(tmp_path / "metrics.csv")
    for step in range(5):
        log.log_metrics({"loss": step}, step=step)
    log.save()
    resumed = RunLog(tmp_path / "metrics.csv")
    resumed.cut(3)
    resumed.log_metrics({"loss": 3}, step=3)
    resumed.save()
    assert [row["step"] for row in rows(log.file)] == ["0", "1", "2", "3"]
    resumed.cut(9)  # moved without its log, or written by a version that counted otherwise
    assert resumed.rows == 4


def test_a_row_that_equals_the_one_before_is_left_out(tmp_path: Path) -> None:
    """A resumed run logs the learning rate of its first step once more."""
    log = RunLog(tmp_path / "metrics.csv")
    log.log_metrics({"loss": 0.5}, step=0)
    for _ in range(2):
        log.log_metrics({"lr": torch.tensor(0.1)}, step=1)
    log.save()
    resumed = RunLog(tmp_path / "metrics.csv")
    for step in (1, 2):
        resumed.log_metrics({"lr": torch.tensor(0.1)}, step=step)
    resumed.save()
    assert [row["step"] for row in rows(log.file)] == ["0", "1", "2"]
    assert resumed.rows == 3


@pytest.mark.parametrize("end", ["1.5", "1.5,3", '"1.', "\r"])
def test_a_line_that_a_kill_cut_short_is_taken_off(tmp_path: Path, end: str) -> None:
    file = tmp_path / "metrics.csv"
    file.write_text("loss,step\r\n2.5,0\r\n" + end, newline="")
    log = RunLog(file)
    assert log.rows == 1
    log.log_metrics({"loss": 2.0}, step=1)
    log.save()
    assert rows(file) == [{"loss": "2.5", "step": "0"}, {"loss": "2.0", "step": "1"}]


def test_a_full_disk_is_told_with_the_files_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = RunLog(tmp_path / "metrics.csv")
    log.log_metrics({"loss": 2.0}, step=1)
    log.save()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    log.log_metrics({"loss": 3.0}, step=2)
    log.save()  # The disk is waited for with a checkpoint, not with every step.
    with pytest.raises(OSError, match="No space left") as caught:
        log.sync()
    assert caught.value.filename == str(log.file)
    monkeypatch.setattr(Path, "open", full)
    log.log_metrics({"loss": 4.0}, step=3)
    with pytest.raises(OSError, match="No space left") as caught:
        log.save()
    assert caught.value.filename == str(log.file)


def test_a_checkpoint_waits_for_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = RunLog(tmp_path / "metrics.csv")
    log.sync()  # There is no file yet.
    log.log_metrics({"loss": 1.0}, step=0)
    log.save()
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    log.log_metrics({"loss": 2.0}, step=1)
    log.save()
    assert (len(synced), len(rows(log.file))) == (0, 2)
    log.log_metrics({"loss": 3.0}, step=2)
    LogKeeper(log).on_save_checkpoint(tiny_trainer(tmp_path, []), TinyModule(), {})
    assert (len(synced), len(rows(log.file))) == (1, 3)


def test_a_damaged_log_is_set_aside(tmp_path: Path) -> None:
    file = tmp_path / "metrics.csv"
    file.write_bytes(b"\xff\xfe\x00garbage\n")
    log = RunLog(file)
    log.log_metrics({"loss": 2.0}, step=1)
    log.save()
    assert rows(file) == [{"loss": "2.0", "step": "1"}]
    assert (tmp_path / "metrics-damaged.csv").read_bytes() == b"\xff\xfe\x00garbage\n"


def test_rows_are_written_before_there_are_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_log, "FLUSHED_ROWS", 3)
    log = RunLog(tmp_path / "metrics.csv")
    for step in range(4):
        log.log_metrics({"loss": step}, step=step)
    assert len(rows(log.file)) == 3


def test_a_new_column_survives_a_kill_while_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = RunLog(tmp_path / "metrics.csv")
    log.log_metrics({"loss": 1}, step=0)
    log.save()
    before = log.file.read_bytes()

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", killed)
    log.log_metrics({"mAP": 1}, step=1)
    with pytest.raises(KeyboardInterrupt):
        log.save()
    assert log.file.read_bytes() == before


class Kill(Callback):
    """Ends a run without a word at a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        if trainer.global_step == self.step:
            raise KeyError("killed")


def logging_fit(folder: Path, *more: Callback, **arguments: Any) -> list[dict[str, str]]:
    torch.manual_seed(0)
    log = RunLog(folder / "metrics.csv")
    callbacks = [*more, LogKeeper(log), LastCheckpoint(folder, 1e-9)]
    trainer = tiny_trainer(folder, callbacks, logger=[log])
    trainer.fit(LoggingModule(), datamodule=tiny_data(), **arguments)
    return rows(log.file)


class LoggingModule(TinyModule):
    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        loss = super().training_step(batch, batch_idx)
        self.log("loss", loss)
        return loss


@pytest.mark.parametrize("step", [2, 4, 7])
def test_a_resumed_log_equals_that_of_a_run_that_was_not_killed(tmp_path: Path, step: int) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    whole.mkdir()
    parts.mkdir()
    expected = logging_fit(whole)
    with pytest.raises(KeyError, match="killed"):
        logging_fit(parts, Kill(step))
    found = logging_fit(parts, ckpt_path=parts / "last.ckpt", weights_only=True)
    assert found == expected
    assert [row["step"] for row in expected] == [str(step) for step in range(8)]
