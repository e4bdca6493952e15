"""Measures an exported model, by whichever engine, with the evaluator of checkpoints."""

from collections.abc import Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from typing_extensions import override

from mnv2_dense.builders import Index, settle_classes
from mnv2_dense.builders.detection_data import read_truth
from mnv2_dense.builders.opening import check_same_categories, parse_card
from mnv2_dense.commands.column import Column
from mnv2_dense.commands.detection import DetectionColumn
from mnv2_dense.commands.measured import Measured
from mnv2_dense.commands.prediction_checkpoints import looks_twice
from mnv2_dense.commands.prediction_end import open_bar
from mnv2_dense.commands.segmentation import SegmentationColumn
from mnv2_dense.commands.session import ensure_data, read_data, say
from mnv2_dense.config.loader import load_config
from mnv2_dense.config.schema import Config, DetectionConfig
from mnv2_dense.detection.metrics import CocoDetectionMetric
from mnv2_dense.errors import UserError
from mnv2_dense.ops.texts import list_first
from mnv2_dense.prediction.predictor import Failure, Predictor
from mnv2_dense.prediction.results import DetectionResult, Result, SegmentationResult
from mnv2_dense.prediction.sources import Item
from mnv2_dense.prediction.streaming import in_order
from mnv2_dense.segmentation.metrics import SegmentationMetric
from mnv2_dense.structures import Detections
from mnv2_dense.training.bad_images import Unmeasured

CHANGEABLE = ("data.", "training.", "evaluation.backend")
"""Sections and keys that change what an exported model is measured on; it has the others inside."""


class ExportedSegmentation(SegmentationColumn):
    """A segmenter that an engine runs, as the commands show it."""

    predictor: Predictor

    @override
    def see(self, image: np.ndarray) -> np.ndarray:
        result = self.predictor.predict(image)
        assert isinstance(result, SegmentationResult)
        return result.label_map


def open_data(
    predictor: Predictor, path: Path, given: Path | None, overrides: Sequence[str]
) -> tuple[Config, Index]:
    """The config and the validation data that a model is measured by.

    Args:
        predictor: Runs it.
        path: Of the model.
        given: A config, of which the data are taken; None for those that the model was exported
            with.
        overrides: Changes to its data.

    Raises:
        UserError: The config is of another task, the data of other classes, or an override would
            change the model.
    """
    for text in overrides:
        if not text.startswith(CHANGEABLE):
            raise UserError(
                f"{text}: {path} has its network inside, which cannot be changed any more; data.* "
                "can, or export it again"
            )
    manifest = predictor.manifest
    config = parse_card(dict(manifest.config), path, overrides if given is None else ())
    if given is not None:
        other = load_config(given, overrides)
        if other.task != config.task:
            raise UserError(
                f"{path}: is of task {config.task}, but the config of task {other.task}"
            )
        config = config.model_copy(update={"data": other.data})
    if looks_twice(config):
        say("note: the model sees every picture once; evaluation.scales and .flip are not used")
    ensure_data(config)
    config = settle_classes(config)
    index = read_data(config, "val")
    if manifest.names != [category.name for category in index.categories]:
        what = f"{path} and the validation set"
        check_same_categories(manifest.categories, index.categories, what)
    return config, index


def measure(predictor: Predictor, config: Config, index: Index) -> tuple[Column, Unmeasured]:
    """Shows a model every picture of a validation set.

    Returns:
        A column that has the scores, and the pictures that were left out, as
        `data.on_bad_image=skip` says.

    Raises:
        UserError: A picture or its ground truth cannot be used, or none of them.
    """
    metric = (
        CocoDetectionMetric(
            partial(read_truth, config.data), index.categories, backend=config.evaluation.backend
        )
        if isinstance(config, DetectionConfig)
        else SegmentationMetric(index.categories)
    )
    measured = Measured(metric, {"config": config.model_dump(mode="json")})
    column = _column(predictor, measured, index)
    problems = _show_all(predictor, column, index, skip=config.data.on_bad_image == "skip")
    measured.scores = metric.compute()
    if isinstance(metric, CocoDetectionMetric):
        measured.results, measured.errors = metric.results(), metric.analyze()
    return column, Unmeasured(problems, len(index))


def _column(predictor: Predictor, measured: Measured, index: Index) -> Column:
    size = predictor.manifest.input_size
    if isinstance(measured.metric, CocoDetectionMetric):
        return DetectionColumn(measured, index.categories, size)
    column = ExportedSegmentation(measured, index.categories, size)
    column.predictor = predictor
    return column


def _show_all(predictor: Predictor, column: Column, index: Index, *, skip: bool) -> list[str]:
    """Fills the column's metric; says what is wrong with pictures that are left out."""
    problems: list[str] = []
    look = partial(_look, predictor, column, index)
    seen = in_order(look, range(len(index)), predictor.stream_threads)
    with closing(seen), open_bar(len(index), "pictures") as bar:
        for found in seen:
            bar.update()
            if not isinstance(found, UserError):
                _update(column.task.metric, *found)
            elif skip:
                problems.append(str(found))
            else:
                raise found
    if len(problems) == len(index):
        raise UserError(
            f"none of the {len(problems)} pictures to measure can be used: {list_first(problems)}"
        )
    return problems


def _look(
    predictor: Predictor, column: Column, index: Index, position: int
) -> tuple[Any, Result] | UserError:
    """A sample as it is stored and what is seen in it, or what is wrong with it."""
    try:
        sample = column.stored_sample(index, position)
    except UserError as error:
        return error
    # All boxes: the model has a threshold of its own.
    (seen,) = predictor.see_together([Item(str(index.path(position)), sample.image)], 0.0)
    assert not isinstance(seen, Failure), seen
    return sample, seen


def _update(metric: CocoDetectionMetric | SegmentationMetric, sample: Any, seen: Result) -> None:
    if isinstance(metric, SegmentationMetric):
        assert isinstance(seen, SegmentationResult)
        metric.update(torch.from_numpy(seen.label_map), sample.label_map)
        return
    assert isinstance(seen, DetectionResult)
    found = Detections(*map(torch.from_numpy, (seen.boxes, seen.scores, seen.labels)))
    metric.update([sample.image_id], [found])
