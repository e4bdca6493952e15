import sys
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from mnv2_dense.training.memory import ReturnMemory
from tests.training.tiny import TinyModule, tiny_data, tiny_trainer


def resident() -> int:
    return psutil.Process().memory_info().rss


@pytest.mark.skipif(sys.platform != "linux", reason="malloc_trim is glibc's")
def test_what_was_freed_is_given_back() -> None:
    # Small arrays come from the heap; every other one stays and pins the pages at its top.
    arrays: list[Any] = [np.full(8192, 1.0) for _ in range(4000)]
    kept = arrays[::40]
    before = resident()
    del arrays
    ReturnMemory()._give_back()
    assert before - resident() > 100 * 2**20
    assert len(kept) == 100


def test_given_back_after_epochs_and_evaluations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    callback = ReturnMemory()
    calls: list[int] = []
    monkeypatch.setattr(callback, "_trim", calls.append)
    tiny_trainer(tmp_path, [callback]).fit(TinyModule(), datamodule=tiny_data())
    assert calls == [0, 0, 0, 0]


def test_other_systems_go_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    callback = ReturnMemory()
    callback.on_train_epoch_end(tiny_trainer(tmp_path, [callback]), TinyModule())
