import csv
import time
from pathlib import Path

from lightning.pytorch.loggers import CSVLogger
from torch import Tensor

from mnv2_dense.structures import SampleKey
from mnv2_dense.training.datamodule import DataModule
from mnv2_dense.training.throughput import ImagesPerSecond
from tests.training.tiny import Batch, TinyDataset, TinyModule, tiny_data, tiny_trainer


class Slow(TinyModule):
    """Takes 20 ms a step and 200 ms a validation batch."""

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        time.sleep(0.02)
        return super().training_step(batch, batch_idx)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        time.sleep(0.2)


class SlowDataset(TinyDataset):
    def __getitem__(self, key: SampleKey) -> tuple[Tensor, SampleKey]:
        time.sleep(0.15)  # Long beside a step, also on a machine that does other work.
        return super().__getitem__(key)


def logged(folder: Path, data: DataModule) -> list[dict[str, float]]:
    logger = CSVLogger(folder, name="", version="")
    trainer = tiny_trainer(folder, [ImagesPerSecond(1)], logger=logger)
    trainer.fit(Slow(), datamodule=data)
    with (folder / "metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["train/images_per_second"]]
    return [{key: float(value) for key, value in row.items() if value} for row in rows]


def test_pace_excludes_validation(tmp_path: Path) -> None:
    rows = logged(tmp_path, tiny_data())
    assert len(rows) == 8
    # 2 images in 20 ms is 100 a second; with the 600 ms of validation it would be 3.
    # The first step of the second epoch is row 4.
    assert 6 < rows[4]["train/images_per_second"] < 100
    assert all(row["train/images_per_second"] < 100 for row in rows)


def test_slow_data_shows_as_wait(tmp_path: Path) -> None:
    data = tiny_data()
    data.train_dataset = SlowDataset(8)
    slow = logged(tmp_path, data)
    assert all(0.5 < row["train/data_wait"] <= 1 for row in slow)
    assert logged(tmp_path / "fast", tiny_data())[2]["train/data_wait"] < 0.5
