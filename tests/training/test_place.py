from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback

from mnv2_dense.training.last import LastCheckpoint
from mnv2_dense.training.place import KeepPlace
from tests.training.tiny import TinyModule, tiny_data, tiny_trainer

PLACE = "fit_loop", "epoch_loop.batch_progress"


class Kill(Callback):
    """Ends a run without a word at a step, a moment after it was saved."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        if trainer.global_step == self.step + 1:
            raise KeyError("killed")


def fit(module: TinyModule, folder: Path, batch_size: int, accumulate: int, *more: Callback) -> Any:
    trainer = tiny_trainer(
        folder,
        [KeepPlace(batch_size), LastCheckpoint(folder, 1e-9), *more],
        accumulate_grad_batches=accumulate,
        limit_val_batches=0,
    )
    last = folder / "last.ckpt"
    data = tiny_data(train=24, batch_size=batch_size)
    trainer.fit(
        module, datamodule=data, ckpt_path=last if last.exists() else None, weights_only=True
    )
    return trainer


@pytest.mark.parametrize(("batch_size", "accumulate"), [(2, 2), (1, 4), (4, 1)])
@pytest.mark.parametrize("step", [1, 4, 7])
def test_batches_of_another_size_see_the_rest_of_the_epoch(
    tmp_path: Path, batch_size: int, accumulate: int, step: int
) -> None:
    """Six steps of four images an epoch, however they are put together."""
    torch.manual_seed(0)
    whole, first, second = TinyModule(), TinyModule(), TinyModule()
    (tmp_path / "whole").mkdir()
    (tmp_path / "parts").mkdir()
    fit(whole, tmp_path / "whole", 2, 2)
    with pytest.raises(KeyError, match="killed"):
        fit(first, tmp_path / "parts", 2, 2, Kill(step))
    trainer = fit(second, tmp_path / "parts", batch_size, accumulate)
    assert first.trained[: 4 * step] + second.trained == whole.trained
    assert trainer.global_step == 12


def test_checkpoints_of_older_versions_are_left_as_they_are(tmp_path: Path) -> None:
    trainer = tiny_trainer(tmp_path, [KeepPlace(2)])
    content: dict[str, Any] = {
        "callbacks": {},
        "loops": {"fit_loop": {PLACE[1]: {"current": {"ready": 3}}}},
    }
    KeepPlace(4).on_load_checkpoint(trainer, TinyModule(), content)
    assert content["loops"][PLACE[0]][PLACE[1]]["current"] == {"ready": 3}
