"""The trainer of a run, whatever its task: hardware, precision, logs, callbacks."""

from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import (
    Callback,
    EarlyStopping,
    LearningRateMonitor,
    ModelCheckpoint,
)
from lightning.pytorch.loggers import TensorBoardLogger

from mnv2_dense.builders.parts import on_gpus
from mnv2_dense.config.schema import AnyConfig, JointConfig, columns_of
from mnv2_dense.ops.allocation import keep_freed_memory
from mnv2_dense.ops.processor import has_bf16
from mnv2_dense.training.averaging import ema_callback
from mnv2_dense.training.bad_images import BadImages
from mnv2_dense.training.best import BestCheckpoint
from mnv2_dense.training.checkpoint_io import AtomicCheckpointIO
from mnv2_dense.training.last import LastCheckpoint
from mnv2_dense.training.launching import Processes
from mnv2_dense.training.memory import ReturnMemory
from mnv2_dense.training.norms import FreezeNorms, SameNormsEverywhere, SyncNorms
from mnv2_dense.training.place import KeepPlace
from mnv2_dense.training.progress import RunProgress
from mnv2_dense.training.run_log import LogKeeper, RunLog
from mnv2_dense.training.runs import checkpoint_folder
from mnv2_dense.training.seeding import SeedSteps
from mnv2_dense.training.throughput import ImagesPerSecond
from mnv2_dense.training.validation import ValidateEvery
from mnv2_dense.training.watch import NumericalWatch

_PRECISION: dict[str, Any] = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}


def build_trainer(config: AnyConfig, run: Path, score: str) -> pl.Trainer:
    """Lightning's trainer for a run.

    Args:
        config: What to build.
        run: Folder of its logs and checkpoints.
        score: What chooses the best checkpoint and stops early, as the task logs it.
    """
    training = config.training
    sync = training.sync_batchnorm and count_processes(config) > 1
    log = RunLog(run / "metrics.csv")
    trainer = pl.Trainer(
        **trainer_options(config),
        default_root_dir=run,
        # Lightning takes a layer sync for a wish to use it.
        plugins=[AtomicCheckpointIO(), *([SyncNorms(on_cpu=not on_gpus(config))] if sync else [])],
        max_epochs=training.epochs,
        max_steps=-1 if training.max_steps is None else training.max_steps,
        accumulate_grad_batches=training.accumulate_batches,
        gradient_clip_val=training.gradient_clip_norm,
        sync_batchnorm=sync,
        log_every_n_steps=training.log_every,
        num_sanity_val_steps=0,
        # ValidateEvery changes it, but not before the first whole epoch of a resumed run.
        check_val_every_n_epoch=training.validate_every,
        logger=[
            log,
            TensorBoardLogger(run, name="", version="tensorboard"),
        ],
        callbacks=[*build_callbacks(config, run, score), LogKeeper(log)],
    )
    # With `max_steps` Lightning 2.6 takes a whole epoch for an unfinished one when it resumes, and
    # would count the next epoch without training it.
    trainer.fit_loop._iteration_based_training = lambda: False  # pyrefly: ignore[method-assign]
    return trainer


def trainer_options(config: AnyConfig) -> dict[str, Any]:
    """What training and evaluation share: hardware, precision, determinism."""
    training = config.training
    return {
        "accelerator": training.accelerator,
        "devices": training.devices,
        "strategy": _strategy(config),
        "num_nodes": training.num_nodes,
        "precision": _PRECISION["32" if lacks_bf16(config) else training.precision],
        "deterministic": training.deterministic,
        "use_distributed_sampler": False,
        "enable_model_summary": False,
    }


def lacks_bf16(config: AnyConfig) -> bool:
    """Whether bf16 is asked for, but would be computed by a processor that is not made for it."""
    on_mps = config.training.accelerator != "cpu" and torch.backends.mps.is_available()
    on_cpu = not (on_gpus(config) or on_mps)
    return config.training.precision == "bf16" and on_cpu and not has_bf16()


def count_processes(config: AnyConfig) -> int:
    """Processes of the whole run."""
    training = config.training
    if training.devices != "auto":
        return training.devices * training.num_nodes
    gpus = torch.cuda.device_count() if on_gpus(config) else 1
    return gpus * training.num_nodes


def _strategy(config: AnyConfig) -> str | Processes:
    if count_processes(config) == 1:
        return "auto"
    return Processes(
        # DDP would send rank 0's buffers at every forward pass, also in validation, where the
        # processes may have different numbers of batches; SameNormsEverywhere does it once.
        broadcast_buffers=False,
        # Its 25 MB would hold the whole gradient of a mobile network, which could then be sent
        # only when the backward pass has ended.
        bucket_cap_mb=4,
        gradient_as_bucket_view=True,
        # A step of a joint network gives one of its heads no gradient.
        find_unused_parameters=isinstance(config, JointConfig),
    )


def build_callbacks(config: AnyConfig, run: Path, score: str) -> list[Callback]:
    """What watches a run; the order matters where the classes say so."""
    training, columns = config.training, columns_of(config)
    folder = checkpoint_folder(run)
    callbacks: list[Callback] = [
        RunProgress(),
        SeedSteps(training.seed),
        ImagesPerSecond(training.log_every),
        LearningRateMonitor("step"),
        ReturnMemory(),
        NumericalWatch(
            run,
            skips=training.skip_bad_steps,
            divergence_factor=training.divergence_factor,
        ),
    ]
    if any(column.data.on_bad_image == "skip" for column in columns):
        callbacks.append(BadImages(run / "bad_images.txt"))
    if training.ema_decay is not None:
        callbacks.append(ema_callback(training.ema_decay))
    if training.freeze_norm_epochs:
        callbacks.append(FreezeNorms(training.freeze_norm_epochs))
    # After the average: it evens out the buffers that the average has swapped in.
    callbacks += [SameNormsEverywhere(), ValidateEvery(training.validate_every)]
    if training.early_stopping_patience is not None:
        callbacks.append(
            EarlyStopping(
                score,
                mode="max",
                patience=training.early_stopping_patience,
                # Patience counts evaluations, and between them there is no score to look at.
                check_on_train_epoch_end=False,
            )
        )
    callbacks.append(KeepPlace(sum(column.data.batch_size for column in columns)))
    best = BestCheckpoint(folder, score)
    last = ModelCheckpoint(
        folder, "last", save_on_train_epoch_end=True, enable_version_counter=False
    )
    return [*callbacks, best, last, LastCheckpoint(folder, training.save_every_minutes)]


def prepare_process(config: AnyConfig) -> None:
    """Limits the CPU threads of this process as the config says; on CPUs, keeps freed memory."""
    if config.training.threads is not None:
        torch.set_num_threads(config.training.threads)
    if not on_gpus(config):
        keep_freed_memory()
