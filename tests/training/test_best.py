import shutil
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Callback, LightningModule

from mnv2_dense.training.best import BestCheckpoint
from mnv2_dense.training.last import LastCheckpoint
from tests.training.tiny import Batch, TinyModule, tiny_data, tiny_trainer

LAST = "last.ckpt"


class Scored(TinyModule):
    """Scores its epochs as told."""

    def __init__(self, *scores: float) -> None:
        super().__init__()
        self.scores = scores

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self.log("val/score", self.scores[self.current_epoch], batch_size=1)


def run(folder: Path, *scores: float, resume: Path | None = None) -> int:
    """Runs an epoch per score; returns the step of the best checkpoint."""
    trainer = tiny_trainer(folder, [BestCheckpoint(folder, "val/score")], max_epochs=len(scores))
    module: LightningModule = Scored(*scores)
    trainer.fit(module, datamodule=tiny_data(), ckpt_path=resume, weights_only=True)
    trainer.save_checkpoint(folder / LAST)
    return torch.load(folder / "best.ckpt", weights_only=True)["global_step"]


@pytest.mark.parametrize(("scores", "best"), [((0.1, 0.3, 0.2), 8), ((0.3, 0.1, 0.2), 4)])
def test_the_highest_score_is_kept(tmp_path: Path, scores: tuple[float, ...], best: int) -> None:
    assert run(tmp_path, *scores) == best


@pytest.mark.parametrize(("score", "best"), [(0.4, 4), (0.6, 8)])
@pytest.mark.parametrize("moved", [False, True])
def test_a_resumed_run_remembers_its_best(
    tmp_path: Path, score: float, best: int, moved: bool
) -> None:
    run(tmp_path / "old", 0.5)
    folder = tmp_path / "old"
    if moved:
        folder = Path(shutil.move(folder, tmp_path / "new"))
    assert run(folder, 0.5, score, resume=folder / LAST) == best


@pytest.mark.filterwarnings("ignore:The dirpath has changed")
def test_a_new_run_from_an_old_checkpoint_has_a_best_of_its_own(tmp_path: Path) -> None:
    run(tmp_path / "old", 0.5)
    assert run(tmp_path / "new", 0.5, 0.1, resume=tmp_path / "old" / LAST) == 8
    assert (tmp_path / "old" / "best.ckpt").is_file()


def test_killed_after_the_first_best_and_before_the_next_last(tmp_path: Path) -> None:
    """`last.ckpt` is from within the first epoch then, and knows of no best."""
    callbacks: list[Callback] = [
        BestCheckpoint(tmp_path, "val/score"),
        LastCheckpoint(tmp_path, 1e-9),
    ]
    trainer = tiny_trainer(tmp_path, callbacks, max_epochs=1)
    trainer.fit(Scored(0.5), datamodule=tiny_data())
    assert torch.load(tmp_path / LAST, weights_only=True)["global_step"] == 3
    assert (tmp_path / "best.ckpt").is_file()
    assert run(tmp_path, 0.5, 0.4, resume=tmp_path / LAST) == 4
