from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from lightning.pytorch import Trainer
from torch import Tensor

from mnv2_dense.errors import UserError
from mnv2_dense.structures import SampleKey
from mnv2_dense.training import bad_images
from mnv2_dense.training.bad_images import BadImages, Unmeasured, unmeasured
from mnv2_dense.training.datamodule import DataModule
from tests.training.tiny import TinyDataset, TinyModule, collate, tiny_trainer

pytestmark = pytest.mark.filterwarnings("ignore:.*does not have many workers")


class Batch(NamedTuple):
    images: Tensor
    keys: list[SampleKey]
    bad_images: list[str] = []  # noqa: RUF012  the field of a named tuple


class Spoilt(TinyDataset):
    """Some samples cannot be read."""

    def __init__(self, length: int, name: str, bad: set[int]) -> None:
        super().__init__(length)
        self.name = name
        self.bad = bad

    def __getitem__(self, key: SampleKey) -> tuple[Tensor, SampleKey]:
        if key.index in self.bad:
            raise UserError(f"{self.name}{key.index}.jpg: damaged")
        return super().__getitem__(key)


def collate_any(samples: list[tuple[Tensor, SampleKey]]) -> Batch:
    return Batch(*collate(samples)) if samples else Batch(torch.zeros(0, 3, 2, 2), [])


def data_of(train: set[int], val: set[int]) -> DataModule:
    return DataModule(
        train_dataset=Spoilt(8, "t", train),
        val_dataset=Spoilt(6, "v", val),
        collate=collate_any,
        batch_size=2,
        val_batch_size=3,
        num_workers=0,
        seed=3,
        skip_bad=True,
    )


def fit(folder: Path, data: DataModule, **options: int) -> Trainer:
    trainer = tiny_trainer(folder, [BadImages(folder / "bad_images.txt")], **options)
    trainer.fit(TinyModule(), datamodule=data)
    return trainer


def test_each_bad_picture_is_named_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trainer = fit(tmp_path, data_of({1, 4}, {2}))
    out = capsys.readouterr().out
    assert out.count("pictures cannot be used and are skipped") == 1
    assert out.startswith(f"3 pictures cannot be used and are skipped (all in {tmp_path}")
    lines = (tmp_path / "bad_images.txt").read_text().splitlines()
    assert sorted(lines) == ["t1.jpg: damaged", "t4.jpg: damaged", "v2.jpg: damaged"]
    assert unmeasured(trainer) == Unmeasured(["v2.jpg: damaged"], 6)


def test_a_resumed_run_names_the_new_ones_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fit(tmp_path, data_of({1}, set()))
    capsys.readouterr()
    fit(tmp_path, data_of({1, 3}, set()))
    assert "1 pictures cannot be used" in capsys.readouterr().out
    lines = (tmp_path / "bad_images.txt").read_text().splitlines()
    assert lines == ["t1.jpg: damaged", "t3.jpg: damaged"]


def test_nothing_is_said_or_written_of_good_pictures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trainer = fit(tmp_path, data_of(set(), set()))
    assert capsys.readouterr().out == ""
    assert list(tmp_path.iterdir()) == []
    assert unmeasured(trainer).message() is None


def test_a_run_that_fails_names_what_it_met(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UserError, match="none of the 6 pictures to measure can be used: v0"):
        fit(tmp_path, data_of({1}, set(range(6))), max_epochs=1)
    assert "1 pictures cannot be used and are skipped" in capsys.readouterr().out
    assert (tmp_path / "bad_images.txt").read_text() == "t1.jpg: damaged\n"


def test_validation_alone_counts_and_writes_nothing(tmp_path: Path) -> None:
    trainer = tiny_trainer(tmp_path, [BadImages()])
    trainer.validate(TinyModule(), datamodule=data_of(set(), {0, 5}), verbose=False)
    left_out = unmeasured(trainer)
    assert left_out.as_dict() == {
        "count": 2,
        "of": 6,
        "pictures": ["v0.jpg: damaged", "v5.jpg: damaged"],
    }
    assert left_out.message() == (
        "2 of 6 pictures could not be used and were not measured: v0.jpg: damaged, v5.jpg: damaged"
    )
    assert list(tmp_path.iterdir()) == []


def test_what_other_processes_left_out_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gather(share: object) -> list[object]:
        return [share, (["w1.jpg: damaged"], 5)]

    monkeypatch.setattr(bad_images, "gather", gather)
    trainer = tiny_trainer(tmp_path, [BadImages()])
    trainer.validate(TinyModule(), datamodule=data_of(set(), {0}), verbose=False)
    assert unmeasured(trainer) == Unmeasured(["v0.jpg: damaged", "w1.jpg: damaged"], 12)


def test_a_trainer_without_the_callback_left_nothing_out(tmp_path: Path) -> None:
    trainer = tiny_trainer(tmp_path, [])
    assert unmeasured(trainer) == Unmeasured()
