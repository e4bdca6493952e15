from pathlib import Path
from typing import Any

import pytest

from mnv2_dense.training.validation import ValidateEvery
from tests.training.tiny import TinyModule, tiny_data, tiny_trainer


class Recorder(TinyModule):
    """Remembers at which step it was evaluated."""

    def __init__(self) -> None:
        super().__init__()
        self.evaluated_at: list[int] = []

    def on_validation_start(self) -> None:
        self.evaluated_at.append(self.trainer.global_step)


@pytest.mark.parametrize(
    ("every", "limits", "steps"),
    [
        (1, {"max_epochs": 3}, [4, 8, 12]),
        (2, {"max_epochs": 4}, [8, 16]),
        (2, {"max_epochs": 3}, [8, 12]),  # the last epoch is no multiple
        (9, {"max_epochs": 2}, [8]),
        (1, {"max_steps": 6, "max_epochs": -1}, [4, 6]),  # an epoch is cut short
        (9, {"max_steps": 6, "max_epochs": -1}, [6]),
        (9, {"max_steps": 8, "max_epochs": -1}, [8]),  # the limit is an epoch's end
        (1, {"max_steps": 2, "max_epochs": 5}, [2]),
        (1, {"max_steps": 99, "max_epochs": 2}, [4, 8]),
        (9, {"max_epochs": 2, "accumulate_grad_batches": 3}, [2]),  # one step an epoch
    ],
)
def test_when_a_run_is_evaluated(
    tmp_path: Path, every: int, limits: dict[str, Any], steps: list[int]
) -> None:
    module = Recorder()
    trainer = tiny_trainer(tmp_path, [ValidateEvery(every)], **limits)
    trainer.fit(module, datamodule=tiny_data(train=8, batch_size=2))
    assert module.evaluated_at == steps
