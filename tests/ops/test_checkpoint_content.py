from pathlib import Path
from typing import Any

import pytest
import torch

from mnv2_dense.ops.checkpoint_file import read_checkpoint
from tests.ops.checkpoints import pack, refusal


def test_shared_values_are_walked_once(tmp_path: Path) -> None:
    shared = [1, 2]
    torch.save({"a": [shared] * 1000}, tmp_path / "a.ckpt")
    assert read_checkpoint(tmp_path / "a.ckpt")["a"][999] == [1, 2]
    bomb: list[Any] = []
    for _ in range(60):
        bomb = [bomb, bomb]
    torch.save({"a": bomb}, tmp_path / "a.ckpt")
    assert "more than 4000000 values" in refusal(tmp_path / "a.ckpt")


def test_values_that_hold_themselves(tmp_path: Path) -> None:
    endless: list[Any] = []
    endless.append(endless)
    torch.save({"a": endless}, tmp_path / "a.ckpt")
    assert "hold themselves" in refusal(tmp_path / "a.ckpt")


@pytest.mark.parametrize(
    "deep",
    [
        b"]" * 100_000 + b"a" * 99_999,
        b"(" * 100_000 + b"t" * 100_000,
        b")" + b"\x85" * 100_000,
    ],
)
def test_deep_nesting(tmp_path: Path, deep: bytes) -> None:
    pack(tmp_path / "a.ckpt", b"\x80\x02}X\x01\x00\x00\x00a" + deep + b"s.")
    assert "deep" in refusal(tmp_path / "a.ckpt")


def test_the_attributes_of_a_dictionary(tmp_path: Path) -> None:
    state = torch.nn.Linear(1, 1).state_dict()  # has _metadata
    torch.save(state, tmp_path / "a.ckpt")
    assert set(read_checkpoint(tmp_path / "a.ckpt")) == {"weight", "bias"}
    state.note = 3  # type: ignore[attr-defined]
    torch.save(state, tmp_path / "a.ckpt")
    assert "attributes" in refusal(tmp_path / "a.ckpt")
