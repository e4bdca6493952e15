"""Training from where a run is, and the ends of it that are no bug."""

import gc
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import lightning.pytorch as pl

from mnv2_dense.builders.any_task import AnyData, AnyTask
from mnv2_dense.errors import UserError
from mnv2_dense.training.datamodule import lost_loader

RESTORING = ("_restore_modules_and_callbacks", "restore_training_state")
"""Functions of Lightning that put back what a checkpoint holds."""


@contextmanager
def tell_lost_loader(advice: str) -> Iterator[None]:
    """What is done inside may lose a loader process; that is said in a line.

    Args:
        advice: What to do after that.

    Raises:
        UserError: A loader process was killed.
    """
    try:
        yield
    except RuntimeError as error:
        if (lost := lost_loader(error)) is None:
            raise
        raise UserError(
            f"{lost} Out of memory? Lower data.num_workers or data.batch_size, and {advice}"
        ) from error


def fit(trainer: pl.Trainer, task: AnyTask, data: AnyData, checkpoint: Path | None) -> None:
    """Trains; a lost loader, and what Lightning cannot put back of a checkpoint, are a line.

    Args:
        trainer: Of the run.
        task: What is trained.
        data: Its loaders.
        checkpoint: What to go on from, if anything.

    Raises:
        UserError: A loader process was killed, or the checkpoint holds no state of a run.
    """
    # What is there now stays: collecting garbage would write into it, and each loader process
    # would get a copy of its own of memory that it shares with this one.
    gc.collect()
    gc.freeze()
    try:
        with tell_lost_loader("go on with --resume"):
            trainer.fit(task, datamodule=data, ckpt_path=checkpoint, weights_only=True)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        frames = traceback.extract_tb(error.__traceback__)
        if checkpoint is None or not any(frame.name in RESTORING for frame in frames):
            raise
        raise UserError(
            f"{checkpoint}: cannot be gone on from, its content is not that of a run "
            f"({type(error).__name__}: {error}). Give it as --weights to begin a run with its "
            "weights"
        ) from error
    finally:
        gc.unfreeze()
