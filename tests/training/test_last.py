import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.plugins.precision import MixedPrecision

from mnv2_dense.training.averaging import ema_callback
from mnv2_dense.training.checkpoint_io import AtomicCheckpointIO
from mnv2_dense.training.last import LastCheckpoint, RunInterrupted
from mnv2_dense.training.norms import FreezeNorms
from mnv2_dense.training.progress import RunProgress
from mnv2_dense.training.throughput import ImagesPerSecond
from tests.training.tiny import TinyModule, tiny_data, tiny_trainer


class SignalAt(Callback):
    """Sends this process a signal in a training or validation batch."""

    def __init__(self, *, train: int | None = None, validate: int | None = None) -> None:
        self.train, self.validate = train, validate
        self.steps = self.validations = 0
        self.number = signal.SIGINT

    def on_train_batch_end(self, *_: Any) -> None:
        self.steps += 1
        if self.steps == self.train:
            signal.raise_signal(self.number)

    def on_validation_batch_start(self, *_: Any) -> None:
        self.validations += 1
        if self.validations == self.validate:
            signal.raise_signal(self.number)


def callbacks(folder: Path, *more: Callback) -> list[Callback]:
    best = ModelCheckpoint(folder, filename="best", save_last=True, enable_version_counter=False)
    return [
        ema_callback(0.9),
        FreezeNorms(1),
        ImagesPerSecond(1),
        RunProgress(terminal=False),
        best,
        LastCheckpoint(folder),
        *more,
    ]


def fit(module: TinyModule, folder: Path, *more: Callback, **arguments: Any) -> None:
    torch.manual_seed(0)
    trainer = tiny_trainer(folder, callbacks(folder, *more), max_epochs=3)
    trainer.fit(module, datamodule=tiny_data(), **arguments)


def fresh() -> TinyModule:
    torch.manual_seed(0)
    return TinyModule()


def resume(folder: Path) -> TinyModule:
    module = fresh()
    fit(module, folder, ckpt_path=folder / "last.ckpt", weights_only=True)
    return module


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> TinyModule:
    """A run of 3 epochs of 4 steps, 3 validation batches each, that nothing interrupted."""
    module = fresh()
    fit(module, tmp_path_factory.mktemp("whole"))
    return module


def same_weights(one: TinyModule, other: TinyModule) -> bool:
    states = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in states)


@pytest.mark.parametrize("step", [1, 3, 4, 5, 8, 9, 11])
def test_resumed_run_equals_an_uninterrupted_one(
    tmp_path: Path, whole: TinyModule, step: int
) -> None:
    first = fresh()
    with pytest.raises(RunInterrupted, match=f"^interrupted at step {step}; resume with --resume$"):
        fit(first, tmp_path, SignalAt(train=step))
    second = resume(tmp_path)
    assert first.trained + second.trained == whole.trained
    assert first.validated + second.validated == whole.validated
    assert same_weights(second, whole)


@pytest.mark.parametrize("batch", [1, 2, 3, 5, 9])
def test_interrupted_validation_is_done_anew(tmp_path: Path, whole: TinyModule, batch: int) -> None:
    first = fresh()
    with pytest.raises(RunInterrupted):
        fit(first, tmp_path, SignalAt(validate=batch))
    second = resume(tmp_path)
    assert first.trained + second.trained == whole.trained
    per_epoch, epochs_left = 6, 3 - (batch - 1) // 3
    assert len(second.validated) in (per_epoch * epochs_left, per_epoch * (epochs_left - 1))
    assert (batch % 3 == 0) or len(second.validated) == per_epoch * epochs_left
    assert same_weights(second, whole)
    assert not list(tmp_path.glob("last-v*"))


def test_signals_are_given_back_and_lightning_does_not_exit(tmp_path: Path) -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    stop = SignalAt(train=2)
    stop.number = signal.SIGTERM
    with pytest.raises(RunInterrupted, match=r"^terminated at step 2;") as caught:
        fit(fresh(), tmp_path, stop)
    assert caught.value.exit_code == 143
    assert caught.value.checkpoint == tmp_path / "last.ckpt"
    for number, handler in before.items():
        assert signal.getsignal(number) == handler


def test_accumulated_batches_are_stepped_before_stopping(tmp_path: Path) -> None:
    module = fresh()
    trainer = tiny_trainer(
        tmp_path,
        callbacks(tmp_path, SignalAt(train=3)),
        accumulate_grad_batches=2,
        limit_val_batches=0,
    )
    with pytest.raises(RunInterrupted, match="at step 2;"):
        trainer.fit(module, datamodule=tiny_data(train=12))
    assert len(module.trained) == 8


class KilledError(Exception):
    """Stands for the end of a process without a word."""


class KillAt(Callback):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        if trainer.global_step == self.step + 1:
            raise KilledError


@pytest.mark.parametrize("step", [1, 2, 5, 7, 11])
def test_saved_within_an_epoch_nothing_is_done_twice(
    tmp_path: Path, whole: TinyModule, step: int
) -> None:
    first = fresh()
    with pytest.raises(KilledError):
        fit(first, tmp_path, KillAt(step), LastCheckpoint(tmp_path, minutes=1e-9))
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["global_step"] == step
    second = resume(tmp_path)
    assert first.trained[: 2 * step] + second.trained == whole.trained
    assert same_weights(second, whole)


def test_the_scaler_of_fp16_goes_on(tmp_path: Path) -> None:
    """It doubles every second step here, so a scale that began anew would be another."""

    def run(module: TinyModule, *more: Callback, **arguments: Any) -> float:
        scaler = torch.amp.GradScaler("cpu", init_scale=4, growth_interval=2)
        plugins = [AtomicCheckpointIO(), MixedPrecision("16-mixed", "cpu", scaler)]
        trainer = tiny_trainer(tmp_path, [LastCheckpoint(tmp_path, 1e-9), *more], plugins=plugins)
        trainer.fit(module, datamodule=tiny_data(), **arguments)
        return scaler.get_scale()

    whole, parts = fresh(), fresh()
    scale = run(whole)
    with pytest.raises(KilledError):
        run(parts, KillAt(5))
    assert run(parts, ckpt_path=tmp_path / "last.ckpt", weights_only=True) == scale
    assert same_weights(parts, whole)


def test_saved_after_so_many_minutes_and_not_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(0, 10_000, 25))
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    saved: list[int] = []
    trainer = tiny_trainer(
        tmp_path, [LastCheckpoint(tmp_path, minutes=1)], max_epochs=1, limit_val_batches=0
    )

    def note(*_: Any, **__: Any) -> None:
        saved.append(trainer.global_step)

    monkeypatch.setattr(trainer, "save_checkpoint", note)
    trainer.fit(fresh(), datamodule=tiny_data(train=24))
    # The clock of this test goes 25 s per look: at 60 s or more it saves, and looks once more.
    assert saved == [3, 6, 9]


def test_none_is_saved_where_no_minutes_are_given(tmp_path: Path) -> None:
    trainer = tiny_trainer(tmp_path, [LastCheckpoint(tmp_path)], max_epochs=1)
    trainer.fit(fresh(), datamodule=tiny_data())
    assert not (tmp_path / "last.ckpt").exists()


SCRIPT = """
import sys, time
from pathlib import Path
sys.path.insert(0, {root!r})
from tests.training.tiny import TinyModule, tiny_data, tiny_trainer
from mnv2_dense.training.last import LastCheckpoint, RunInterrupted

class Slow(TinyModule):
    def training_step(self, batch, batch_idx):
        print("step", flush=True)
        time.sleep({seconds})
        return super().training_step(batch, batch_idx)

data = tiny_data(train=1000)
data.num_workers = 1
trainer = tiny_trainer(Path({folder!r}), [LastCheckpoint(Path({folder!r}))])
try:
    trainer.fit(Slow(), datamodule=data)
except RunInterrupted as interrupt:
    print(interrupt, file=sys.stderr)
    sys.exit(interrupt.exit_code)
"""


def run_until_step(folder: Path, seconds: float) -> subprocess.Popen[str]:
    """Starts a training process in its own process group and waits for its first step."""
    root = str(Path(__file__).parents[2])
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT.format(root=root, folder=str(folder), seconds=seconds)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    process.stdout.readline()
    return process


@pytest.mark.long
def test_ctrl_c_of_a_process_group_with_workers(tmp_path: Path) -> None:
    process = run_until_step(tmp_path, 0.05)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    last = errors.strip().splitlines()[-1]
    assert last.startswith("interrupted at step ")
    saved = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert f"interrupted at step {saved['global_step']}; resume with --resume" == last


def test_second_ctrl_c_stops_at_once_without_saving(tmp_path: Path) -> None:
    process = run_until_step(tmp_path, 5)
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert errors.strip().endswith("no checkpoint was saved for this step")
    assert not (tmp_path / "last.ckpt").exists()
