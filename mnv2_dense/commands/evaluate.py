"""Measures a checkpoint on the validation set of its config."""

import json
from collections.abc import Sequence
from pathlib import Path

import lightning.pytorch as pl

from mnv2_dense.build import build_data, build_task, set_threads, trainer_options
from mnv2_dense.commands.checks import check_machine, check_output, check_shares
from mnv2_dense.commands.opening import check_same_categories, load_weights, open_checkpoint
from mnv2_dense.commands.pictures import write_pictures
from mnv2_dense.commands.session import ensure_data, quiet_lightning, read_data, say
from mnv2_dense.config.loader import load_config
from mnv2_dense.config.schema import DetectionConfig
from mnv2_dense.detection.coco import CocoIndex
from mnv2_dense.detection.scoring import per_class_table, summary_table
from mnv2_dense.detection.task import DetectionTask
from mnv2_dense.errors import UserError
from mnv2_dense.training.progress import RunProgress
from mnv2_dense.training.runs import run_of, write_json


def evaluate(
    source: Path,
    overrides: Sequence[str],
    *,
    weights: Path | None = None,
    out: Path | None = None,
    pictures: int = 0,
) -> None:
    """Prints the tables and writes `metrics.json`, `detections.json` and pictures to `out`."""
    quiet_lightning()
    config, task, index = _open(source, overrides, weights)
    check_machine(config)
    set_threads(config)
    check_shares(config, len(index))
    checkpoint = weights or source
    out = out or (run_of(checkpoint) or Path.cwd()) / f"evaluation-{checkpoint.stem}"
    check_output(out)
    trainer = pl.Trainer(
        **trainer_options(config),
        logger=False,
        enable_checkpointing=False,
        callbacks=[RunProgress()],
    )
    task.keep_results = True
    trainer.validate(task, datamodule=build_data(config, None, index), verbose=False)
    if trainer.is_global_zero:
        report(task, out, checkpoint=checkpoint)
        write_pictures(task.results, index, out / "pictures", pictures)


def _open(
    source: Path, overrides: Sequence[str], weights: Path | None
) -> tuple[DetectionConfig, DetectionTask, CocoIndex]:
    """Config, task with its weights, and validation data of a checkpoint or a config."""
    if source.suffix not in (".yaml", ".yml"):
        if weights is not None:
            raise UserError(f"--weights {weights} goes with a config; {source} has its own weights")
        config, categories, task = open_checkpoint(source, overrides)
        ensure_data(config)
        index = read_data(config, "val")
        check_same_categories(categories, index.categories, f"{source} and the validation set")
        return config, task, index
    if weights is None:
        raise UserError(f"{source} is a config; give the weights to measure with --weights PATH")
    config = load_config(source, overrides)
    ensure_data(config)
    index = read_data(config, "val")
    task = build_task(config, index.categories)
    load_weights(task, weights)
    return config, task, index


def report(task: DetectionTask, out: Path, *, checkpoint: Path) -> None:
    """Prints the scores of a task that has been measured, and writes them to `out`."""
    assert task.scores is not None, "the task has not been evaluated"
    say(per_class_table(task.scores))
    say()
    say(summary_table(task.scores))
    out.mkdir(parents=True, exist_ok=True)
    metrics = {**task.scores.as_dict(), "checkpoint": str(checkpoint)}
    write_json(out / "metrics.json", metrics)
    (out / "detections.json").write_text(json.dumps(task.results) + "\n")
    say(f"wrote {out / 'metrics.json'} and {out / 'detections.json'}")
