"""Whether a checkpoint computes what the .tflite file computes that it was imported from."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from mnv2_dense.builders.opening import (
    check_same_categories,
    is_classifier,
    open_content,
    read_card,
)
from mnv2_dense.builders.trained import find_differences, settled_keys
from mnv2_dense.builders.trainer import prepare_process
from mnv2_dense.commands.classify import open_classifier_checkpoint, parse_stored
from mnv2_dense.commands.column import Column
from mnv2_dense.commands.columns import column_of
from mnv2_dense.commands.comparison import Opened, compare
from mnv2_dense.commands.session import ensure_data, quiet_lightning, read_data, say
from mnv2_dense.config.loader import parse_config
from mnv2_dense.errors import UserError
from mnv2_dense.image_files import find_images
from mnv2_dense.importing.found import Imported
from mnv2_dense.importing.reading import read_weights
from mnv2_dense.ops.checkpoint_file import read_checkpoint
from mnv2_dense.parity.runtime import Runtime
from mnv2_dense.parity.scores import score_both
from mnv2_dense.segmentation.task import SegmentationTask
from mnv2_dense.training.runs import write_json

ONE_PROCESS = ("training.devices=1", "training.num_nodes=1", "training.accelerator=cpu")


def verify_weights(
    source: Path,
    checkpoint: Path,
    pictures: Sequence[Path] = (),
    overrides: Sequence[str] = (),
    *,
    score: bool = False,
    report: Path | None = None,
) -> bool:
    """Compares layers and outputs on pictures, and scores on the validation set.

    Args:
        source: The .tflite file.
        checkpoint: What it was imported to.
        pictures: Files and folders of pictures.
        overrides: Changes to the checkpoint's config, `key.path=value`.
        score: Evaluate both on the config's validation set.
        report: JSON file for all figures.

    Returns:
        Whether the two compute the same: a float file within the bounds of
        `Answers.misses`, a quantised one as far as its rounding allows to say.

    Raises:
        UserError: There is nothing to compare, or the two are of different networks.
    """
    quiet_lightning()
    found = [path for each in pictures for path in find_images(each)]
    imported = _import(source)
    content = read_checkpoint(checkpoint)
    opened = _open(content, checkpoint, overrides, imported)
    figures: dict[str, Any] = {"source": str(source), "checkpoint": str(checkpoint)}
    differences = _list_differences(opened, imported)
    same = not differences
    if found:
        same, compared = compare(opened, imported, found, differences)
        figures |= compared
    elif differences:
        say(f"DIFFERENT: {differences[0]}")
    if score:
        figures["scores"] = _score(opened, source, checkpoint)
    if report is not None:
        write_json(report, figures)
        say(f"wrote {report}")
    return same


def _import(source: Path) -> Imported:
    if source.suffix.lower() != ".tflite":
        raise UserError(
            f"{source}: no .tflite file; only those can be run here, TensorFlow's graphs and "
            "PyTorch's weights have no runtime to compare with"
        )
    return read_weights(source)


def _open(
    content: Mapping[str, Any], path: Path, overrides: Sequence[str], imported: Imported
) -> Opened:
    if is_classifier(content):
        classifier = open_classifier_checkpoint(content, path, overrides)
        _check_task("classification", path, imported)
        stored, _ = read_card(content, path, classifier=True)
        given = parse_stored(stored, overrides, str(path))
        return Opened(classifier.network, classifier, given, None)
    # The runtime runs in one process, on the CPU.
    config, categories, task = open_content(content, path, [*ONE_PROCESS, *overrides])
    _check_task(config.task, path, imported)
    prepare_process(config)
    task.eval()
    if isinstance(task, SegmentationTask):
        # The file has one output stride, and the layers of another network would not be seen.
        task.other_stride = None
    return Opened(task.network, column_of(config, task, categories), config, config)


def _list_differences(opened: Opened, imported: Imported) -> list[str]:
    """What the config has otherwise than the file decides, in words; empty if nothing."""
    settings = {"task": imported.task, **imported.settings}
    own = (
        parse_stored(settings, (), imported.source)
        if imported.task == "classification"
        else parse_config(settings, name=imported.source)
    )
    found = find_differences(
        opened.given.model_dump(), own.model_dump(), settled_keys(imported.settings), exact=True
    )
    return [f"the file is a network with {', '.join(found)}"] if found else []


def _check_task(task: str, path: Path, imported: Imported) -> None:
    if task != imported.task:
        raise UserError(
            f"{path} and {imported.source} do not belong together: the checkpoint is of task "
            f"{task}, the file of task {imported.task}"
        )


def _score(opened: Opened, source: Path, checkpoint: Path) -> dict[str, dict[str, float]]:
    config = opened.config
    if config is None or not isinstance(opened.predictor, Column):
        raise UserError(f"--score is of detectors and segmenters; {checkpoint} is a classifier")
    ensure_data(config)
    index = read_data(config, "val")
    categories = opened.predictor.categories
    check_same_categories(categories, index.categories, f"{checkpoint} and the validation set")
    threads = torch.get_num_threads()
    runtime = Runtime(
        source, config.input.mean, config.input.std, threads=threads, every_tensor=False
    )
    scores = score_both(config, opened.predictor.task, index, runtime)
    say(f"validation set: {opened.predictor.describe_split(index)}")
    for line in scores.lines():
        say(line)
    return {name: {"ours": ours, "file": file} for name, (ours, file) in scores.items()}
