from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from torch import nn

from mnv2_dense.training.averaging import ema_callback, ema_decay
from tests.training.tiny import TinyModule, tiny_data, tiny_trainer


def test_decay_ramps_up_to_its_value() -> None:
    assert ema_decay(0.9, 1) == pytest.approx(2 / 11)
    assert ema_decay(0.9, 71) == pytest.approx(72 / 81)
    assert ema_decay(0.9, 1000) == 0.9


class Recorder(Callback):
    """Keeps the last layer's weights and the running means after every step."""

    def __init__(self) -> None:
        self.weights: list[torch.Tensor] = []
        self.means: list[torch.Tensor] = []

    def on_train_batch_end(self, trainer: Trainer, pl_module: TinyModule, *_: Any) -> None:
        self.weights.append(pl_module.last.weight.detach().clone())
        self.means.append(pl_module.running_mean().clone())


def averaged(values: list[torch.Tensor], decay: float) -> torch.Tensor:
    average = values[0]
    for updates, value in enumerate(values[1:], start=1):
        keep = min(decay, (1 + updates) / (10 + updates))
        average = keep * average + (1 - keep) * value
    return average


def test_average_is_validated_with_saved_and_left_in_the_module(tmp_path: Path) -> None:
    recorder, module, average = Recorder(), TinyModule(), ema_callback(0.3)
    trainer = tiny_trainer(tmp_path, [average, recorder], max_epochs=2)
    trainer.fit(module, datamodule=tiny_data())
    trainer.save_checkpoint(tmp_path / "end.ckpt", weights_only=False)

    expected = averaged(recorder.weights, 0.3)
    assert torch.allclose(module.last.weight, expected, atol=1e-6)
    assert torch.allclose(module.running_mean(), averaged(recorder.means, 0.3), atol=1e-6)
    assert torch.allclose(module.validated_with[0], averaged(recorder.weights[:4], 0.3), atol=1e-6)
    # The steps after the first validation start from the trained weights, not the average.
    assert not torch.allclose(recorder.weights[3], module.validated_with[0])
    saved = torch.load(tmp_path / "end.ckpt", weights_only=True)
    assert torch.equal(saved["state_dict"]["last.weight"], module.last.weight)


class SaveInValidation(Callback):
    def __init__(self, path: Path) -> None:
        self.path = path

    def on_validation_batch_end(self, trainer: Trainer, *_: Any) -> None:
        trainer.save_checkpoint(self.path, weights_only=False)


def test_checkpoint_within_validation_holds_average_and_trained_weights_apart(
    tmp_path: Path,
) -> None:
    recorder, module = Recorder(), TinyModule()
    callbacks: list[Callback] = [
        ema_callback(0.3),
        recorder,
        SaveInValidation(tmp_path / "mid.ckpt"),
    ]
    tiny_trainer(tmp_path, callbacks, max_epochs=1).fit(module, datamodule=tiny_data())
    saved = torch.load(tmp_path / "mid.ckpt", weights_only=True)
    assert torch.equal(saved["state_dict"]["last.weight"], module.validated_with[0])
    assert torch.equal(saved["current_model_state"]["last.weight"], recorder.weights[-1])


def test_constants_and_counters_stay_exact(tmp_path: Path) -> None:
    module = TinyModule()
    constants = torch.rand(100)
    module.register_buffer("anchors", constants.clone())
    anchors = module.get_buffer("anchors")
    tiny_trainer(tmp_path, [ema_callback(0.9998)]).fit(module, datamodule=tiny_data())
    assert torch.equal(anchors, constants)
    counter = module.get_buffer("norm.num_batches_tracked")
    assert counter == 8
    assert counter.dtype == torch.int64


def test_average_and_weights_have_one_memory_format(tmp_path: Path) -> None:
    """PyTorch takes them one by one where they differ."""
    module, average = TinyModule(), ema_callback(0.9)
    module.network.insert(0, nn.Conv2d(3, 3, 3, padding=1))

    class Setup(Callback):
        def setup(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
            pl_module.to(memory_format=torch.channels_last)

    trainer = tiny_trainer(tmp_path, [average, Setup()], max_epochs=1)
    trainer.fit(module, datamodule=tiny_data())
    assert not module.network.get_parameter("0.weight").is_contiguous()
    (averages, weights), _ = average._pairs
    assert [each.stride() for each in averages] == [each.stride() for each in weights]
