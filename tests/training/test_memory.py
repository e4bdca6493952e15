from pathlib import Path

import pytest

from mnv2_dense.training import memory
from mnv2_dense.training.memory import ReturnMemory
from tests.training.tiny import TinyModule, tiny_data, tiny_trainer


def test_given_back_after_epochs_and_evaluations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    monkeypatch.setattr(memory, "give_back_freed_memory", lambda: calls.append("given back"))
    trainer = tiny_trainer(tmp_path, [ReturnMemory()])
    trainer.fit(TinyModule(), datamodule=tiny_data())
    assert calls == ["given back"] * 4
