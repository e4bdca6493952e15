"""Checkpoints and classifiers' weights in a prediction job."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from typing_extensions import override

from mnv2_dense.backbone.weights import IMAGENET, classifier_state, download_imagenet
from mnv2_dense.builders.opening import is_classifier, open_content, parse_any_card, read_card
from mnv2_dense.commands.classify import open_classifier, open_classifier_checkpoint
from mnv2_dense.commands.columns import column_of
from mnv2_dense.commands.joint_prediction import open_joint
from mnv2_dense.commands.prediction_kinds import Opened, Prediction, Recorder, Source
from mnv2_dense.commands.prediction_models import (
    SegmenterRecorder,
    label_map_folders,
    open_model,
    write_label_map,
)
from mnv2_dense.commands.prediction_options import Options
from mnv2_dense.commands.segmentation import SegmentationColumn
from mnv2_dense.commands.session import quiet_lightning
from mnv2_dense.config.schema import Config, DetectionConfig, JointConfig, SegmentationConfig
from mnv2_dense.errors import UserError
from mnv2_dense.exporting.loading import prepare
from mnv2_dense.images import read_image
from mnv2_dense.ops.checkpoint_file import read_checkpoint
from mnv2_dense.prediction.results import SegmentationResult, Times
from mnv2_dense.structures import ImageSize
from mnv2_dense.training.checkpoint_io import CARD


def open_weights(options: Options) -> Opened:
    """The network that a checkpoint, or weights of a classifier, are of.

    Raises:
        UserError: The weights are of no network known here, or it has no such option.
    """
    quiet_lightning()
    content = read_checkpoint(Path(options.weights)) if options.weights != IMAGENET else _imagenet()
    if CARD not in content or is_classifier(content):
        options.check_task("classification")
        _use_threads(options.threads)
        return Opened(_open_classifier(content, options), partial(_open_again, options))
    config = parse_any_card(
        read_card(content, Path(options.weights))[0], Path(options.weights), options.overrides
    )
    options.check_task(config.task)
    if isinstance(config, JointConfig):
        _use_threads(options.threads or config.training.threads)
        return Opened(open_joint(content, options), partial(_open_again, options))
    if looks_twice(config):
        _use_threads(options.threads or config.training.threads)
        return Opened(_open_scaled(content, config, options), partial(_open_again, options))
    del content  # The engine reads the file itself; both need not be in memory.
    return _open_model(config, options)


def _open_again(options: Options) -> Recorder:
    """In another process, which reads the file itself."""
    return open_weights(options).recorder


def _use_threads(threads: int | None) -> None:
    if threads is not None:
        torch.set_num_threads(threads)


def _imagenet() -> dict[str, Any]:
    return {"state_dict": download_imagenet("--weights imagenet")}


def _open_classifier(content: Mapping[str, Any], options: Options) -> Recorder:
    weights = options.weights
    if is_classifier(content):
        return open_classifier_checkpoint(
            content, Path(weights), options.overrides, options.classes
        )
    state = classifier_state(content.get("state_dict", content))
    if state is None:
        raise UserError(
            f"{weights}: not a checkpoint of mnv2_dense (it has no config inside), nor a state "
            "dict of a classifier (torchvision's mobilenet_v2, or one of ours); give a file from "
            "a run's checkpoints folder, or such weights"
        )
    return open_classifier(state, weights, options.overrides, options.classes)


def _open_scaled(content: Mapping[str, Any], config: Config, options: Options) -> Recorder:
    if options.engine not in (None, "torch"):
        raise UserError(
            f"{options.weights}: engine={options.engine} sees every picture once, and its "
            "evaluation asks for more; leave --engine out, or change that: "
            "evaluation.scales=[1.0] evaluation.flip=false"
        )
    _, categories, task = open_content(content, Path(options.weights), options.overrides)
    try:
        task.to(options.device or "cpu")
    except (RuntimeError, AssertionError) as error:  # The latter where torch was built without it.
        reason = str(error).splitlines()[0]
        raise UserError(f"device={options.device} cannot be used here: {reason}") from error
    column = column_of(config, task.eval(), categories)
    assert isinstance(column, SegmentationColumn)
    return ScaledSegmenter(column, drawings=options.drawings)


def _open_model(config: Config, options: Options) -> Opened:
    """What an engine runs; a checkpoint that is converted for it, is so once for all processes."""
    threads = options.threads or config.training.threads
    overrides, lowest = list(options.overrides), options.lowest_score
    if isinstance(config, DetectionConfig) and lowest < config.decode.score_threshold:
        text = np.format_float_positional(lowest, trim="0")  # YAML takes no 1e-05.
        overrides.append(f"decode.score_threshold={text}")
    opening = prepare(
        options.weights,
        options.engine,
        threads=threads,
        device=options.device,
        overrides=overrides,
    )
    opener = partial(open_model, opening, replace(options, threads=threads))
    return Opened(opener(), opener)


def looks_twice(config: Config) -> bool:
    """Whether a segmenter sees every picture more than once, which no engine does."""
    if not isinstance(config, SegmentationConfig):
        return False
    evaluation = config.evaluation
    return evaluation.flip or tuple(evaluation.scales) != (1.0,)


ENGINE = f"PyTorch {torch.__version__}"


class ScaledSegmenter(Recorder):
    """A segmenter whose `evaluation` asks for scales or flips, as it is evaluated.

    Args:
        column: Of its task.
        drawings: Whether pictures are written for people, too.
    """

    records_name = SegmenterRecorder.records_name

    def __init__(self, column: SegmentationColumn, *, drawings: bool = True) -> None:
        self.column = column
        self.drawings = drawings
        self.result_folders = label_map_folders(drawings=drawings)
        self.engine = ENGINE

    @override
    def predict(self, source: Source, out: Path) -> Prediction:
        image = read_image(source.path, upright=True)
        result = SegmentationResult(
            source=str(source.path),
            size=ImageSize(*image.shape[:2]),
            categories=tuple(self.column.categories),
            engine=ENGINE,
            times=Times(),
            picture=image,
            label_map=self.column.see(image),
        )
        return write_label_map(result, source, out, drawings=self.drawings)
