import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from torch import nn

from mnv2_dense.ops.sync_norms import SyncNorm
from mnv2_dense.training.norms import FreezeNorms, SyncNorms, epochs_of_run, steps_per_epoch
from tests.training.tiny import TinyModule, tiny_data, tiny_trainer


class Mode(NamedTuple):
    epoch: int
    training: bool
    running_mean: float


class Recorder(Callback):
    """Keeps, for every step, whether the norm is in training mode and its statistics."""

    def __init__(self) -> None:
        self.modes: list[Mode] = []

    def on_train_batch_end(self, trainer: Trainer, pl_module: TinyModule, *_: Any) -> None:
        mean = pl_module.running_mean()[0].item()
        self.modes.append(Mode(trainer.current_epoch, pl_module.norm.training, mean))


def modes(
    folder: Path, norms: Callback, module: TinyModule | None = None, **arguments: Any
) -> list[Mode]:
    recorder = Recorder()
    trainer = tiny_trainer(folder, [norms, recorder], **arguments)
    trainer.fit(module or TinyModule(), datamodule=tiny_data())
    return recorder.modes


def test_only_the_last_epochs_are_frozen_and_keep_their_statistics(tmp_path: Path) -> None:
    seen = modes(tmp_path, FreezeNorms(2), max_epochs=4)
    assert [mode.training for mode in seen] == [True] * 8 + [False] * 8
    means = [mode.running_mean for mode in seen]
    assert len(set(means[:8])) == 8
    assert set(means[7:]) == {means[7]}


def test_zero_freezes_nothing(tmp_path: Path) -> None:
    assert all(mode.training for mode in modes(tmp_path, FreezeNorms(0)))


def test_steps_may_limit_the_run(tmp_path: Path) -> None:
    seen = modes(tmp_path, FreezeNorms(1), max_epochs=100, max_steps=6)
    assert [mode.training for mode in seen] == [True] * 4 + [False] * 2


def test_scale_and_shift_are_still_trained(tmp_path: Path) -> None:
    module = TinyModule()
    before = module.norm.weight.detach().clone()
    modes(tmp_path, FreezeNorms(9), module, max_epochs=1)
    assert not torch.equal(before, module.norm.weight)


def test_other_layers_keep_their_mode_and_synchronised_norms_are_found(tmp_path: Path) -> None:
    module = TinyModule()
    dropout, synchronised = nn.Dropout(0.0), nn.SyncBatchNorm(3)
    module.network.append(dropout)
    module.add_module("synchronised", synchronised)
    modes(tmp_path, FreezeNorms(1), module, max_epochs=1)
    assert dropout.training
    assert not synchronised.training


def test_the_callback_holds_no_state() -> None:
    assert FreezeNorms(1).state_dict() == {}


def test_length_of_the_run_in_epochs(tmp_path: Path) -> None:
    class Lengths(Callback):
        def on_train_start(self, trainer: Trainer, pl_module: TinyModule) -> None:
            self.values = (steps_per_epoch(trainer), epochs_of_run(trainer))

    lengths = Lengths()
    trainer = tiny_trainer(tmp_path, [lengths], max_epochs=3, accumulate_grad_batches=3)
    trainer.fit(TinyModule(), datamodule=tiny_data())
    assert lengths.values == (1, 3)


def test_synchronised_norms_of_timm_keep_their_activation() -> None:
    timm_layers = pytest.importorskip("timm.layers")
    network = nn.Sequential(timm_layers.BatchNormAct2d(3), nn.BatchNorm2d(3))
    network.get_buffer("0.running_mean").fill_(1.0)
    images = torch.randn(2, 3, 4, 4)
    expected = network.eval()(images)
    sync = SyncNorms(on_cpu=False)
    converted = sync.apply(network)
    assert all(isinstance(norm, nn.SyncBatchNorm) for norm in converted.children())
    assert torch.equal(converted.eval()(images), expected)
    again = sync.apply(sync.revert(converted))
    assert all(isinstance(norm, nn.SyncBatchNorm) for norm in again.children())
    assert torch.equal(again.eval()(images), expected)


def test_without_timm_norms_are_synchronised_and_reverted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "timm.layers", raising=False)
    converted = SyncNorms(on_cpu=False).apply(nn.Sequential(nn.BatchNorm2d(3)))
    assert isinstance(converted.get_submodule("0"), nn.SyncBatchNorm)
    reverted = SyncNorms(on_cpu=False).revert(converted)
    assert not isinstance(reverted.get_submodule("0"), nn.SyncBatchNorm)


def test_between_cpus_the_norms_keep_their_place_and_their_kind() -> None:
    network = nn.Sequential(nn.BatchNorm2d(3), nn.ReLU())
    norm, sync = network.get_submodule("0"), SyncNorms(on_cpu=True)
    assert sync.apply(network).get_submodule("0") is norm
    assert isinstance(norm, SyncNorm)
    assert not isinstance(norm, nn.SyncBatchNorm)  # DDP refuses those on CPUs.
    sync.apply(network)
    assert type(sync.revert(network).get_submodule("0")) is nn.BatchNorm2d
