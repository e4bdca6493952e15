from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint
from lightning.pytorch.strategies import DDPStrategy

from mnv2_dense.builders import build_data, build_task, read_split, trainer
from mnv2_dense.builders.trainer import (
    build_callbacks,
    build_trainer,
    count_processes,
    lacks_bf16,
    prepare_process,
    trainer_options,
)
from mnv2_dense.config.schema import Config, DetectionConfig
from mnv2_dense.training.averaging import ExponentialAverage
from mnv2_dense.training.best import BestCheckpoint
from mnv2_dense.training.last import LastCheckpoint
from mnv2_dense.training.norms import FreezeNorms, SameNormsEverywhere
from tests.commands import tiny
from tests.waits import Waits

SCORE = "val/some_score"


def config_of(*overrides: str) -> DetectionConfig:
    return tiny.config_of(Path("data"), *overrides)


@pytest.mark.parametrize(
    ("accelerator", "devices", "gpus", "processes"),
    [
        *(("auto", "auto", 0, 1), ("auto", "auto", 4, 4), ("cpu", "auto", 4, 1)),
        *(("gpu", "auto", 4, 4), ("gpu", "2", 4, 2), ("cpu", "2", 0, 2)),
    ],
)
def test_number_of_processes(
    monkeypatch: pytest.MonkeyPatch, accelerator: str, devices: str, gpus: int, processes: int
) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: gpus)
    overrides = [f"training.accelerator={accelerator}", f"training.devices={devices}"]
    assert count_processes(config_of(*overrides)) == processes
    assert count_processes(config_of(*overrides, "training.num_nodes=3")) == 3 * processes


def test_several_processes_do_not_send_buffers() -> None:
    strategy = trainer_options(config_of("training.devices=2"))["strategy"]
    assert isinstance(strategy, DDPStrategy)
    assert strategy._ddp_kwargs["broadcast_buffers"] is False
    assert strategy._ddp_kwargs["bucket_cap_mb"] < 17  # SSDLite's whole gradient
    assert trainer_options(config_of())["strategy"] == "auto"


def test_trainer_of_a_config(tmp_path: Path) -> None:
    config = config_of("training.max_steps=7", "training.accumulate_batches=3")
    trainer = build_trainer(config, tmp_path, SCORE)
    assert (trainer.max_steps, trainer.max_epochs) == (7, 1)
    assert trainer.accumulate_grad_batches == 3
    folders = [Path(str(logger.log_dir)) for logger in trainer.loggers]
    assert folders == [tmp_path, tmp_path / "tensorboard"]


@pytest.mark.parametrize("steps", ["null", "7"])
def test_a_whole_epoch_is_no_unfinished_one(tmp_path: Path, steps: str) -> None:
    """Lightning asks it of a run that is resumed at an epoch's end."""
    loop = build_trainer(config_of(f"training.max_steps={steps}"), tmp_path, SCORE).fit_loop
    loop.restarting = True
    assert not loop.restarting
    loop.epoch_progress.current.ready = 1
    loop.restarting = True
    assert loop.restarting


def test_callbacks_stand_in_the_order_they_need(tmp_path: Path) -> None:
    callbacks = build_callbacks(
        config_of(
            "training.ema_decay=0.9",
            "training.freeze_norm_epochs=1",
            "training.early_stopping_patience=3",
        ),
        tmp_path,
        SCORE,
    )
    kinds = [type(callback) for callback in callbacks]
    # The average is swapped in before its buffers are made equal.
    assert kinds.index(ExponentialAverage) < kinds.index(SameNormsEverywhere)
    assert kinds[-3:] == [BestCheckpoint, ModelCheckpoint, LastCheckpoint]


def test_the_tasks_score_chooses_the_best_and_stops_early(tmp_path: Path) -> None:
    config = config_of("training.early_stopping_patience=3")
    callbacks = build_callbacks(config, tmp_path, SCORE)
    (stopping,) = (each for each in callbacks if isinstance(each, EarlyStopping))
    assert (stopping.monitor, stopping.patience, stopping.mode) == (SCORE, 3, "max")
    (best,) = (each for each in callbacks if isinstance(each, BestCheckpoint))
    assert (best.monitor, best.mode) == (SCORE, "max")


def test_callbacks_that_nobody_asked_for_are_absent(tmp_path: Path) -> None:
    kinds = {type(callback) for callback in build_callbacks(config_of(), tmp_path, SCORE)}
    assert not kinds & {ExponentialAverage, FreezeNorms, EarlyStopping}


def test_threads() -> None:
    before = torch.get_num_threads()
    prepare_process(config_of())
    assert torch.get_num_threads() == before
    try:
        prepare_process(config_of(f"training.threads={before + 1}"))
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("gpus", [False, True])
def test_memory_is_kept_where_cpus_compute(*, gpus: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[bool] = []

    def on_gpus(_: Config) -> bool:
        return gpus

    monkeypatch.setattr(trainer, "on_gpus", on_gpus)
    monkeypatch.setattr(trainer, "keep_freed_memory", lambda: calls.append(True))
    prepare_process(config_of())
    assert calls == [True] * (not gpus)


class FromHere(Callback):
    """Looks for waits in the steps from `first` on that are not the last, as that one is shown."""

    def __init__(self, waits: Waits, first: int, last: int) -> None:
        self.waits, self.looked = waits, range(first, last)

    def on_train_batch_start(self, trainer: Trainer, *_: Any) -> None:
        if trainer.global_step in self.looked:
            self.waits.__enter__()


class ToHere(FromHere):
    """Looks no more."""

    def on_train_batch_start(self, *_: Any) -> None:
        pass

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        if trainer.global_step - 1 in self.looked:
            self.waits.__exit__(None, None, None)


def test_what_waits_is_found() -> None:
    numbers = torch.tensor([1.0, 2.0])
    for wait in (
        lambda: numbers.sum().item(),
        lambda: bool(numbers[0] > 0),
        lambda: numbers[numbers > 1],
        lambda: numbers.nonzero(),
        lambda: numbers * torch.tensor([2.0, 3.0]),
    ):
        with Waits() as waits:
            wait()
        assert waits.found, "this would keep a GPU waiting"


@pytest.mark.parametrize("make", [tiny.config_of, tiny.segmentation_config_of])
@pytest.mark.filterwarnings("ignore:.*does not have many workers")
@pytest.mark.filterwarnings("ignore:.*smaller than the logging interval")
@pytest.mark.filterwarnings("ignore:.*could not find the monitored key")
def test_no_step_waits_for_the_device(
    shapes_set: Path, tmp_path: Path, make: Callable[..., Config]
) -> None:
    config = make(
        shapes_set,
        *("training.ema_decay=0.9", "training.log_every=100", "training.validate_every=100"),
        *("training.gradient_clip_norm=1.0", "optimizer.name=sgd", "training.epochs=2"),
    )
    train, val = read_split(config, "train"), read_split(config, "val")
    task = build_task(config, train.categories)
    trainer = build_trainer(config, tmp_path, task.score)
    trainer.limit_val_batches = 0
    waits, last = Waits(), 2 * tiny.STEPS - 1
    looks = [each(waits, 1, last) for each in (FromHere, ToHere)]
    trainer.callbacks = [looks[0], *trainer.callbacks, looks[1]]  # pyrefly: ignore
    trainer.fit(task, build_data(config, train, val))
    assert trainer.global_step == 2 * tiny.STEPS
    assert waits.found == []


@pytest.mark.parametrize(
    ("accelerator", "gpus", "able", "precision", "lacking"),
    [
        ("auto", 0, False, "bf16", True),
        ("auto", 0, True, "bf16", False),
        ("auto", 0, False, "32", False),
        ("auto", 1, False, "bf16", False),
        ("cpu", 1, False, "bf16", True),
    ],
)
def test_a_processor_without_bf16_computes_in_float32(
    monkeypatch: pytest.MonkeyPatch,
    accelerator: str,
    gpus: int,
    able: bool,
    precision: str,
    lacking: bool,
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: gpus > 0)
    monkeypatch.setattr("torch.cuda.device_count", lambda: gpus)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
    monkeypatch.setattr(trainer, "has_bf16", lambda: able)
    config = config_of(f"training.accelerator={accelerator}", f"training.precision={precision}")
    assert lacks_bf16(config) is lacking
    chosen = trainer_options(config)["precision"]
    assert chosen == ("bf16-mixed" if precision == "bf16" and not lacking else "32-true")
