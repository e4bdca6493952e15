from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from mnv2_dense.training.seeding import SeedSteps
from tests.training.tiny import TinyModule, tiny_data, tiny_trainer


class Draw(Callback):
    """Draws as dropout would, and more with every step."""

    def __init__(self) -> None:
        self.drawn: list[float] = []

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self.drawn.append(float(torch.rand(len(self.drawn) + 1)[0]))


@pytest.mark.filterwarnings("ignore:.*does not have many workers")
def test_a_resumed_run_draws_what_it_would_have_drawn(tmp_path: Path) -> None:
    def run(epochs: int, seed: int = 3, **resume: Any) -> tuple[Trainer, list[float]]:
        draw = Draw()
        trainer = tiny_trainer(tmp_path, [SeedSteps(seed), draw], max_epochs=epochs)
        trainer.fit(TinyModule(), datamodule=tiny_data(), **resume)
        return trainer, draw.drawn

    _, whole = run(2)
    assert len(set(whole)) == 8
    trainer, first = run(1)
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    torch.rand(100)  # whatever is drawn between the two
    _, second = run(2, ckpt_path=tmp_path / "last.ckpt", weights_only=True)
    assert first + second == whole
    assert not set(run(1, seed=4)[1]) & set(whole)


def test_processes_draw_differently(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = set()
    for rank in (0, 1):
        trainer = Trainer(logger=False, enable_checkpointing=False, accelerator="cpu")
        monkeypatch.setattr(type(trainer), "global_rank", rank)
        SeedSteps(0).on_train_batch_start(trainer, TinyModule(), None, 0)
        drawn.add(float(torch.rand(1)))
    assert len(drawn) == 2
