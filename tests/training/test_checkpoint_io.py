import os
import resource
from pathlib import Path

import pytest
import torch

from mnv2_dense.ops.checkpoint_file import check_seal
from mnv2_dense.training.checkpoint_io import AtomicCheckpointIO


def test_saves_and_loads(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "last.ckpt"
    AtomicCheckpointIO().save_checkpoint({"step": 3, "weights": torch.ones(2)}, path)
    loaded = AtomicCheckpointIO().load_checkpoint(path, weights_only=True)
    assert loaded["step"] == 3
    assert [file.name for file in path.parent.iterdir()] == ["last.ckpt"]


def test_a_full_disk_leaves_the_checkpoint_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "last.ckpt"
    AtomicCheckpointIO().save_checkpoint({"step": 1}, path)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left") as caught:
        AtomicCheckpointIO().save_checkpoint({"step": 2}, path)
    assert caught.value.filename == str(path)
    assert torch.load(path, weights_only=True) == {"step": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["last.ckpt"]


def test_a_disk_that_fills_while_torch_writes(tmp_path: Path) -> None:
    """Torch then raises an error of its own, in place of the system's."""
    path = tmp_path / "last.ckpt"
    AtomicCheckpointIO().save_checkpoint({"step": 1}, path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            AtomicCheckpointIO().save_checkpoint({"weights": torch.rand(200_000)}, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.filename == str(path)
    assert torch.load(path, weights_only=True) == {"step": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["last.ckpt"]


def save(path: Path, step: int) -> None:
    AtomicCheckpointIO().save_checkpoint({"step": step}, path)


def step_of(path: Path) -> int:
    return torch.load(path, weights_only=True)["step"]


def test_the_last_but_one_is_kept(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        save(tmp_path / "last.ckpt", step)
    assert (step_of(tmp_path / "last.ckpt"), step_of(tmp_path / "previous.ckpt")) == (3, 2)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["last.ckpt", "previous.ckpt"]


def test_of_the_best_none_but_the_best_is_kept(tmp_path: Path) -> None:
    for step in (1, 2):
        save(tmp_path / "best.ckpt", step)
    assert [file.name for file in tmp_path.iterdir()] == ["best.ckpt"]


@pytest.mark.parametrize("fault", ["torn", "changed"])
def test_a_broken_last_does_not_replace_a_good_previous(tmp_path: Path, fault: str) -> None:
    last = tmp_path / "last.ckpt"
    save(last, 1)
    save(last, 2)
    content = last.read_bytes()
    last.write_bytes(content[:-9] if fault == "torn" else content.replace(b"step", b"stop"))
    broken = last.read_bytes()
    save(last, 3)
    assert (step_of(last), step_of(tmp_path / "previous.ckpt")) == (3, 1)
    assert (tmp_path / "broken.ckpt").read_bytes() == broken


def test_a_foreign_last_does_not_replace_a_good_previous(tmp_path: Path) -> None:
    for step in (1, 2):
        save(tmp_path / "last.ckpt", step)
    torch.save({"step": 8}, tmp_path / "last.ckpt")
    save(tmp_path / "last.ckpt", 3)
    assert step_of(tmp_path / "previous.ckpt") == 1
    assert step_of(tmp_path / "broken.ckpt") == 8


@pytest.mark.parametrize("links", [True, False])
def test_the_last_is_there_all_the_time_where_the_disk_has_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    last = tmp_path / "last.ckpt"
    save(last, 1)
    seen: list[bool] = []
    replace = Path.replace

    def look(self: Path, target: Path) -> Path:
        seen.append(last.exists())
        return replace(self, target)

    def refuse(*_: object) -> None:
        raise OSError(38, "no links here")

    monkeypatch.setattr(Path, "replace", look)
    if not links:
        monkeypatch.setattr(os, "link", refuse)
    save(last, 2)
    assert seen == [True, links]
    assert (step_of(last), step_of(tmp_path / "previous.ckpt")) == (2, 1)


def test_saved_files_are_sealed(tmp_path: Path) -> None:
    save(tmp_path / "last.ckpt", 1)
    assert check_seal(tmp_path / "last.ckpt") is True
