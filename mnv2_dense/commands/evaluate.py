"""Measures a checkpoint, or an exported model, on the validation set of its config."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import lightning.pytorch as pl

from mnv2_dense.builders.any_task import (
    AnyIndex,
    AnyTask,
    build_data,
    build_task,
    settle_classes,
    splits_of,
)
from mnv2_dense.builders.opening import (
    check_same_categories,
    load_weights,
    open_any_content,
)
from mnv2_dense.builders.trainer import prepare_process, trainer_options
from mnv2_dense.commands.checks import check_all_shares, check_machine
from mnv2_dense.commands.column import Column
from mnv2_dense.commands.columns import column_of
from mnv2_dense.commands.evaluate_exported import measure, open_data
from mnv2_dense.commands.fitting import tell_lost_loader
from mnv2_dense.commands.outputs import check_output
from mnv2_dense.commands.pictures import write_pictures
from mnv2_dense.commands.session import ensure_data, quiet_lightning, read_any_data, say
from mnv2_dense.config.loader import CONFIG_SUFFIXES, load_any_config, to_yaml
from mnv2_dense.config.schema import AnyConfig
from mnv2_dense.detection.metrics import CocoDetectionMetric
from mnv2_dense.errors import UserError
from mnv2_dense.joint.metrics import JointMetric
from mnv2_dense.ops.checkpoint_file import read_checkpoint, read_seal
from mnv2_dense.prediction.loading import is_exported, load
from mnv2_dense.prediction.predictor import Predictor
from mnv2_dense.training.bad_images import BadImages, Unmeasured, unmeasured
from mnv2_dense.training.progress import RunProgress
from mnv2_dense.training.runs import run_of, write_json


def evaluate(
    source: Path,
    overrides: Sequence[str],
    *,
    weights: Path | None = None,
    out: Path | None = None,
    pictures: int = 0,
    given: Path | None = None,
    engine: str | None = None,
    threads: int | None = None,
) -> None:
    """Prints the tables and writes `metrics.json`, the task's own files and pictures to `out`.

    Args:
        source: A checkpoint, a config with `weights`, or an exported model.
        overrides: Changes to the config, of the form `key.path=value`.
        weights: A checkpoint that a config measures.
        out: Folder of the files.
        pictures: How many are drawn.
        given: A config whose data an exported model is measured on; its own by default.
        engine: What runs an exported model; the best one that is installed by default.
        threads: That run an exported model.

    Raises:
        UserError: Something cannot be opened, or does not fit.
    """
    quiet_lightning()
    if is_exported(source):
        if weights is not None:
            raise UserError(f"--weights {weights} goes with a config; {source} has its own weights")
        model = load(source, engine, threads=threads)
        _evaluate_exported(model, source, overrides, out, pictures, given)
        return
    for option, value in (("--engine", engine), ("--threads", threads), ("CONFIG", given)):
        if value is not None:
            raise UserError(f"{option} {value} goes with an exported model, which {source} is not")
    config, task, index = _open(source, overrides, weights)
    check_machine(config)
    prepare_process(config)
    check_all_shares(config, index)
    checkpoint = weights or source
    out = out or (run_of(checkpoint) or Path.cwd()) / f"evaluation-{checkpoint.stem}"
    check_output(out)
    trainer = pl.Trainer(
        **trainer_options(config),
        logger=False,
        enable_checkpointing=False,
        callbacks=[RunProgress(), BadImages()],
    )
    task.keep_results = True
    column = column_of(config, task, index.categories)
    with tell_lost_loader("run it again"):
        trainer.validate(task, datamodule=build_data(config, None, index), verbose=False)
    if trainer.is_global_zero:
        report(column, out, checkpoint=checkpoint, left_out=unmeasured(trainer))
        # The scores depend on data, input and protocol too, which overrides may have changed.
        (out / "evaluation.yaml").write_text(to_yaml(config))
        write_pictures(column, index, out / "pictures", pictures)


def _evaluate_exported(
    model: Predictor,
    source: Path,
    overrides: Sequence[str],
    out: Path | None,
    pictures: int,
    given: Path | None,
) -> None:
    manifest = model.manifest
    config, index = open_data(model, source, given, overrides)
    out = out or Path.cwd() / f"evaluation-{source.name}"
    check_output(out)
    say(f"{source}: {manifest.task} in {manifest.precision}, run by {model.engine.name}")
    column, left_out = measure(model, config, index)
    ran = {"engine": model.engine.name, "precision": manifest.precision}
    report(column, out, checkpoint=source, left_out=left_out, more=ran)
    (out / "evaluation.yaml").write_text(to_yaml(config))
    write_pictures(column, index, out / "pictures", pictures)


def _open(
    source: Path, overrides: Sequence[str], weights: Path | None
) -> tuple[AnyConfig, AnyTask, AnyIndex]:
    """Config, task with its weights, and validation data of a checkpoint or a config."""
    if source.suffix not in CONFIG_SUFFIXES:
        if weights is not None:
            raise UserError(f"--weights {weights} goes with a config; {source} has its own weights")
        content = read_checkpoint(source)
        config, categories, task = open_any_content(content, source, overrides)
        ensure_data(config)
        index = read_any_data(config, "val")
        names = [category.name for category in categories]
        if names != [category.name for category in index.categories]:
            check_same_categories(categories, index.categories, f"{source} and the validation set")
        _renumber(task, index)
        return config, task, index
    if weights is None:
        raise UserError(f"{source} is a config; give the weights to measure with --weights PATH")
    config = load_any_config(source, overrides)
    ensure_data(config)
    config = settle_classes(config)
    index = read_any_data(config, "val")
    task = build_task(config, index.categories)
    load_weights(task, weights)
    return config, task, index


def _renumber(task: AnyTask, index: AnyIndex) -> None:
    """Gives a metric the category ids of its data: another format may number the same classes."""
    metric = task.metric.detection if isinstance(task.metric, JointMetric) else task.metric
    if isinstance(metric, CocoDetectionMetric):
        metric.categories = splits_of(index)[0].categories


def report(
    column: Column,
    out: Path,
    *,
    checkpoint: Path,
    left_out: Unmeasured,
    more: Mapping[str, str] | None = None,
) -> None:
    """Prints the scores of a task that has been measured, and writes them to `out`.

    Args:
        column: Its task has the scores.
        out: Folder of the files.
        checkpoint: What was measured.
        left_out: Pictures that were not measured.
        more: Entries of `metrics.json` beside the scores.
    """
    assert column.task.scores is not None, "the task has not been evaluated"
    say("\n\n".join(column.tables()))
    out.mkdir(parents=True, exist_ok=True)
    metrics = {**column.task.scores.as_dict(), "checkpoint": str(checkpoint), **(more or {})}
    if checkpoint.is_file() and (seal := read_seal(checkpoint)) is not None:
        metrics["checkpoint_seal"] = seal  # The path may hold another one later.
    if message := left_out.message():
        say(message)
        metrics["unmeasured"] = left_out.as_dict()
    results = column.write_results(out)
    # Last: a run is finished when it is there.
    write_json(out / "metrics.json", metrics)
    files = [out / "metrics.json", *results]
    say(f"wrote {', '.join(str(file) for file in files[:-1])} and {files[-1]}")
