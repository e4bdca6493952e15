"""Trains what a config says, and evaluates the best checkpoint at the end."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import lightning.pytorch as pl
from lightning.pytorch.utilities.rank_zero import rank_zero_only
from torch._dynamo.exc import BackendCompilerFailed

from mnv2_dense.builders.any_task import AnyData, build_data, build_task, settle_classes
from mnv2_dense.builders.opening import stored_any_config
from mnv2_dense.builders.trainer import build_trainer, prepare_process
from mnv2_dense.commands.beginning import begin
from mnv2_dense.commands.checks import check_machine, check_network, check_sets
from mnv2_dense.commands.column import Column
from mnv2_dense.commands.columns import column_of
from mnv2_dense.commands.evaluate import report
from mnv2_dense.commands.fitting import fit, tell_lost_loader
from mnv2_dense.commands.report import report_training
from mnv2_dense.commands.resuming import Resumed, find_checkpoint
from mnv2_dense.commands.same_run import check_resumable, describe_run
from mnv2_dense.commands.session import ensure_data, quiet_lightning, read_any_data, say
from mnv2_dense.commands.trial import try_once
from mnv2_dense.config.loader import CONFIG_SUFFIXES, load_any_config, to_yaml
from mnv2_dense.config.schema import AnyConfig, JointConfig
from mnv2_dense.config.sections import Data
from mnv2_dense.errors import UserError
from mnv2_dense.shapes.dataset import generate
from mnv2_dense.training.bad_images import unmeasured
from mnv2_dense.training.last import RunInterrupted
from mnv2_dense.training.runs import (
    checkpoint_folder,
    create_run,
    describe_session,
    run_of,
)


def train(
    source: Path,
    overrides: Sequence[str],
    *,
    weights: Path | None = None,
    resume: str | None = None,
    accept_changes: bool = False,
    dry_run: bool = False,
) -> None:
    """Trains what a config says.

    Args:
        source: A config, or a checkpoint whose config and weights are taken to train on from.
        overrides: Changes to the config, of the form `key.path=value`.
        weights: A checkpoint whose weights the network begins with.
        resume: What to go on from, if anything: see `find_checkpoint`.
        accept_changes: Whether a resumed run may go on with other data, input, batch or seed.
        dry_run: One batch of each kind, and nothing is written.
    """
    config, weights = _open(source, overrides, weights, resume)
    check_machine(config)
    check_network(config)
    quiet_lightning()
    prepare_process(config)
    pl.seed_everything(config.training.seed, verbose=False)
    try:
        if dry_run:
            _dry_run(config, weights)
        else:
            resumed = find_checkpoint(config, resume)
            ensure_data(config)
            _train(settle_classes(config, say), resumed, weights, accept_changes)
    except RunInterrupted as stop:
        say(str(stop))
        raise SystemExit(stop.exit_code) from None
    except BackendCompilerFailed as error:
        raise UserError(
            f"training.compile=true: the network cannot be compiled on this machine "
            f"({str(error).strip().splitlines()[0]}); set training.compile=false"
        ) from error


def _open(
    source: Path, overrides: Sequence[str], weights: Path | None, resume: str | None
) -> tuple[AnyConfig, Path | None]:
    """The config, and the checkpoint whose weights the network begins with."""
    if weights is not None and resume is not None:
        raise UserError("--weights begins a run and --resume goes on with one; give one of them")
    if source.suffix in CONFIG_SUFFIXES:
        return load_any_config(source, overrides), weights
    if weights is not None or resume is not None:
        raise UserError(
            f"{source} is a checkpoint and has its own weights; give a config with --weights or "
            "--resume"
        )
    return stored_any_config(source, overrides), source


def _train(
    config: AnyConfig, resumed: Resumed | None, weights: Path | None, accept_changes: bool
) -> None:
    train_index, val_index = read_any_data(config, "train"), read_any_data(config, "val")
    check_sets(config, train_index, val_index)
    task = build_task(config, train_index.categories)
    task.card.update(describe_run(config, train_index, val_index))
    begin(task, config, weights, resumed=resumed is not None)
    data = build_data(config, train_index, val_index)
    if resumed is not None:
        check_resumable(task, config, resumed, accept_changes=accept_changes)
        say(f"resuming from {resumed.path}")
    checkpoint = None if resumed is None else resumed.path
    run = _open_run(config, checkpoint)
    say(f"run folder {run}")
    trainer = build_trainer(config, run, task.score)
    fit(trainer, task, data, checkpoint)
    best = checkpoint_folder(run) / "best.ckpt"
    # A finished run that is resumed elsewhere takes no step and has no best of its own.
    best = checkpoint if checkpoint and not best.exists() else best
    column = column_of(config, task, train_index.categories)
    # Rank 0 knows the run's folder, see `create_run`.
    _evaluate_best(trainer, column, data, trainer.strategy.broadcast(best))
    if config.training.report and trainer.is_global_zero:
        report_training(Path(trainer.default_root_dir))


def _open_run(config: AnyConfig, checkpoint: Path | None) -> Path:
    """The run's folder with its config and environment; a resumed run keeps its own."""
    old = None if checkpoint is None else run_of(checkpoint)
    run = old or create_run(Path(config.training.output), config.name)
    if rank_zero_only.rank != 0:  # pyrefly: ignore[missing-attribute]
        return run
    checkpoint_folder(run).mkdir(exist_ok=True)
    describe_session(run, to_yaml(config))
    return run


def _evaluate_best(trainer: pl.Trainer, column: Column, data: AnyData, best: Path) -> None:
    """Measures the best checkpoint, and writes and prints what it reaches."""
    column.task.keep_results = True
    trainer.loggers = []  # the best epoch's scores are not the last epoch's
    with tell_lost_loader("go on with --resume"):
        trainer.validate(
            column.task, datamodule=data, ckpt_path=best, verbose=False, weights_only=True
        )
    if trainer.is_global_zero:
        say(f"best checkpoint {best}")
        out = Path(trainer.default_root_dir)
        report(column, out, checkpoint=best, left_out=unmeasured(trainer))


def _dry_run(config: AnyConfig, weights: Path | None) -> None:
    """One training and one validation batch; data that would be generated are drawn aside."""
    with tempfile.TemporaryDirectory() as folder:
        try_once(settle_classes(_draw_aside(config, Path(folder)), say), weights)


def _draw_aside(config: AnyConfig, folder: Path) -> AnyConfig:
    """The config with built-in data that are not there yet drawn into a folder."""
    if not isinstance(config, JointConfig):
        return config.model_copy(update={"data": _draw_data(config.data, folder / "shapes")})
    parts = {"detection": config.detection, "segmentation": config.segmentation}
    drawn = {
        name: part.model_copy(update={"data": _draw_data(part.data, folder / name)})
        for name, part in parts.items()
    }
    return config.model_copy(update=drawn)


def _draw_data(data: Data, root: Path) -> Data:
    if data.generate is None or Path(data.root).exists():
        return data
    images = max(data.batch_size, data.val_batch_size)
    generate(root, train_images=images, val_images=images)
    return data.model_copy(update={"root": str(root)})
