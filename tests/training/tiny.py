"""The smallest network, data and Trainer with which the training callbacks can be checked."""

from pathlib import Path
from typing import Any, NamedTuple

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn

from mnv2_dense.structures import SampleKey
from mnv2_dense.training.checkpoint_io import AtomicCheckpointIO
from mnv2_dense.training.datamodule import DataModule


class Batch(NamedTuple):
    images: Tensor
    keys: list[SampleKey]


class TinyDataset:
    """Sample `i` of epoch `e` is the picture of i + e / 10."""

    def __init__(self, length: int) -> None:
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, key: SampleKey) -> tuple[Tensor, SampleKey]:
        return torch.full((3, 2, 2), key.index + key.epoch / 10), key


def collate(samples: list[tuple[Tensor, SampleKey]]) -> Batch:
    return Batch(torch.stack([image for image, _ in samples]), [key for _, key in samples])


class TinyModule(LightningModule):
    """A norm and a layer; remembers which samples it saw."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(3)
        self.last = nn.Linear(12, 1)
        self.network = nn.Sequential(self.norm, nn.Flatten(), self.last)
        self.trained: list[SampleKey] = []
        self.validated: list[SampleKey] = []
        self.validated_with: list[Tensor] = []

    def running_mean(self) -> Tensor:
        return self.get_buffer("norm.running_mean")

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        self.trained += batch.keys
        loss = self.network(batch.images).square().mean()
        self.log("train/loss", loss, prog_bar=True, batch_size=len(batch.images))
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self.validated += batch.keys
        self.validated_with.append(self.last.weight.detach().clone())

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), lr=0.01, momentum=0.9)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + step))
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }


def tiny_data(*, train: int = 8, val: int = 6, batch_size: int = 2) -> DataModule:
    return DataModule(
        train_dataset=TinyDataset(train),
        val_dataset=TinyDataset(val) if val else None,
        collate=collate,
        batch_size=batch_size,
        val_batch_size=batch_size,
        num_workers=0,
        seed=3,
    )


def tiny_trainer(folder: Path, callbacks: list[Callback], **arguments: Any) -> Trainer:
    defaults: dict[str, Any] = {
        "max_epochs": 2,
        "logger": False,
        "plugins": [AtomicCheckpointIO()],
        "enable_checkpointing": any("Checkpoint" in type(each).__name__ for each in callbacks),
        "enable_progress_bar": any("Progress" in type(each).__name__ for each in callbacks),
    }
    return Trainer(
        accelerator="cpu",
        devices=1,
        default_root_dir=folder,
        callbacks=callbacks,
        use_distributed_sampler=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        log_every_n_steps=1,
        **(defaults | arguments),
    )


def bare_trainer(folder: Path, **options: Any) -> Trainer:
    """A Trainer of one CPU process that logs, saves and shows nothing."""
    return Trainer(
        accelerator="cpu",
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        default_root_dir=folder,
        **options,
    )


class KeepLosses(Callback):
    """Remembers the loss of every training step."""

    def __init__(self) -> None:
        self.losses: list[float] = []

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, *_: Any
    ) -> None:
        self.losses.append(trainer.callback_metrics["train/loss"].item())
