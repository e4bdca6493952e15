"""`--dry-run`: everything built, one training and one validation batch, nothing written."""

import resource
import sys
import time
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback

from mnv2_dense.backbone.backbone import Backbone
from mnv2_dense.builders.any_task import AnyTask, build_data, build_task
from mnv2_dense.builders.parts import input_size
from mnv2_dense.builders.trainer import trainer_options
from mnv2_dense.commands.beginning import begin
from mnv2_dense.commands.checks import check_sets
from mnv2_dense.commands.column import Column
from mnv2_dense.commands.columns import column_of
from mnv2_dense.commands.session import read_any_data, say
from mnv2_dense.config.schema import AnyConfig, columns_of
from mnv2_dense.ops.count import count_layers, sum_layers
from mnv2_dense.training.bad_images import BadImages
from mnv2_dense.training.norms import FreezeNorms


class StepReport(Callback):
    """Prints shapes and time of each step, in the words of a column."""

    def __init__(self, column: Column) -> None:
        self.column = column
        self._began = 0.0

    def on_train_batch_start(self, *_: Any, **__: Any) -> None:
        """Starts the clock."""
        self._began = time.perf_counter()

    def on_validation_batch_start(self, *_: Any, **__: Any) -> None:
        """Starts the clock."""
        self._began = time.perf_counter()

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Prints the training step."""
        loss = float(trainer.callback_metrics["train/loss"])
        self._say("training", batch, f"{self.column.describe_batch(batch)}, loss {loss:.4f}")

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Prints the validation step."""
        self._say("validation", batch, "decoded")

    def _say(self, name: str, batch: Any, what: str) -> None:
        if batch.images.is_cuda:
            torch.cuda.synchronize()
        elapsed = time.perf_counter() - self._began
        shape = "x".join(map(str, batch.images.shape))
        say(f"{name} batch   images {shape} {batch.images.dtype}, {what}, {elapsed:.2f} s")


def try_once(config: AnyConfig, weights: Path | None = None) -> None:
    """Runs one batch of each kind through the real trainer, and prints what came out.

    Args:
        config: What to try.
        weights: See `begin`.
    """
    train_index, val_index = read_any_data(config, "train"), read_any_data(config, "val")
    check_sets(config, train_index, val_index)
    task = build_task(config, train_index.categories)
    begin(task, config, weights)
    column = column_of(config, task, train_index.categories)
    say(f"training set     {column.describe_split(train_index)}")
    say(f"validation set   {column.describe_split(val_index)}")
    _describe_network(config, task)
    training = config.training
    frozen = [FreezeNorms(1)] if training.freeze_norm_epochs >= training.epochs else []
    trainer = pl.Trainer(
        **trainer_options(config),
        fast_dev_run=len(columns_of(config)),
        enable_progress_bar=False,
        gradient_clip_val=training.gradient_clip_norm,
        callbacks=[StepReport(column), BadImages(), *frozen],
    )
    trainer.fit(task, datamodule=build_data(config, train_index, val_index))
    say(f"memory           {_memory(task):.2f} GiB at most; nothing was written")


def _describe_network(config: AnyConfig, task: AnyTask) -> None:
    size, backbone = input_size(config), task.network.backbone
    assert isinstance(backbone, Backbone)
    counted = sum_layers(count_layers(task.network, size))
    taps = [f"{spec.name} {spec.channels} at stride {spec.stride}" for spec in backbone.specs]
    say(f"parameters       {counted.parameters:,}")
    say(f"multiply-adds    {counted.multiply_adds:,} at {size.height}x{size.width}")
    say(f"taps             {', '.join(taps)}")


def _memory(task: AnyTask) -> float:
    """Peak memory in GiB: of the device where that is a GPU, else of this process."""
    if task.device.type == "cuda":
        return torch.cuda.max_memory_allocated(task.device) / 2**30
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**30 if sys.platform == "darwin" else 2**20)
