"""Checkpoints and classifiers' weights in a prediction job."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from typing_extensions import override

from mnv2_dense.backbone.weights import IMAGENET, classifier_state, download_imagenet
from mnv2_dense.builders.opening import is_classifier, open_content, parse_card, read_card
from mnv2_dense.builders.trainer import set_threads
from mnv2_dense.commands.classify import open_classifier, open_classifier_checkpoint
from mnv2_dense.commands.columns import column_of
from mnv2_dense.commands.prediction_kinds import TOP, Prediction, Predictor, Source
from mnv2_dense.commands.prediction_models import (
    SegmenterPredictor,
    check_options,
    show_model,
    write_label_map,
)
from mnv2_dense.commands.segmentation import SegmentationColumn
from mnv2_dense.commands.session import quiet_lightning
from mnv2_dense.config.schema import Config, DetectionConfig, SegmentationConfig
from mnv2_dense.errors import UserError
from mnv2_dense.exporting.loading import load
from mnv2_dense.images import read_image
from mnv2_dense.ops.checkpoint_file import read_checkpoint
from mnv2_dense.prediction.predictor import SCORE_THRESHOLD
from mnv2_dense.prediction.results import SegmentationResult, Times
from mnv2_dense.structures import ImageSize
from mnv2_dense.training.checkpoint_io import CARD


def open_checkpoint_predictor(
    weights: str,
    overrides: Sequence[str],
    score_threshold: float | None,
    top: int | None,
    engine: str | None,
    threads: int | None,
    batch: int,
) -> Predictor:
    """The network that a checkpoint, or weights of a classifier, are of; see `predict`.

    Raises:
        UserError: The weights are of no network known here, or it has no such option.
    """
    quiet_lightning()
    content = read_checkpoint(Path(weights)) if weights != IMAGENET else _imagenet()
    if CARD not in content or is_classifier(content):
        for option, value in (("--score-threshold", score_threshold), ("--engine", engine)):
            if value is not None:
                raise UserError(f"{option} is for detectors; {weights} is a classifier")
        return _open_classifier(content, weights, overrides, TOP if top is None else top)
    return _open_model(
        content, Path(weights), overrides, score_threshold, top, engine, threads, batch
    )


def _imagenet() -> dict[str, Any]:
    return {"state_dict": download_imagenet("--weights imagenet")}


def _open_classifier(
    content: Mapping[str, Any], weights: str, overrides: Sequence[str], top: int
) -> Predictor:
    if is_classifier(content):
        return open_classifier_checkpoint(content, Path(weights), overrides, top)
    state = classifier_state(content.get("state_dict", content))
    if state is None:
        raise UserError(
            f"{weights}: not a checkpoint of mnv2_dense (it has no config inside), nor a state "
            "dict of a classifier (torchvision's mobilenet_v2, or one of ours); give a file from "
            "a run's checkpoints folder, or such weights"
        )
    return open_classifier(state, weights, overrides, top)


def _open_model(
    content: Mapping[str, Any],
    path: Path,
    overrides: Sequence[str],
    score_threshold: float | None,
    top: int | None,
    engine: str | None,
    threads: int | None,
    batch: int,
) -> Predictor:
    config = parse_card(read_card(content, path)[0], path, overrides)
    check_options(config.task, str(path), score_threshold, top)
    set_threads(config)
    if looks_twice(config):
        _, categories, task = open_content(content, path, overrides)
        column = column_of(config, task.eval(), categories)
        assert isinstance(column, SegmentationColumn)
        return ScaledSegmenter(column)
    threshold = SCORE_THRESHOLD if score_threshold is None else score_threshold
    if isinstance(config, DetectionConfig) and threshold < config.decode.score_threshold:
        text = np.format_float_positional(threshold, trim="0")  # YAML takes no 1e-05.
        overrides = [*overrides, f"decode.score_threshold={text}"]
    model = load(path, engine, threads=threads or torch.get_num_threads(), overrides=overrides)
    return show_model(model, threshold, batch)


def looks_twice(config: Config) -> bool:
    """Whether a segmenter sees every picture more than once, which no engine does."""
    if not isinstance(config, SegmentationConfig):
        return False
    evaluation = config.evaluation
    return evaluation.flip or tuple(evaluation.scales) != (1.0,)


ENGINE = f"PyTorch {torch.__version__}"


class ScaledSegmenter(Predictor):
    """A segmenter whose `evaluation` asks for scales or flips, as it is evaluated.

    Args:
        column: Of its task.
    """

    records_name = SegmenterPredictor.records_name
    result_folders = SegmenterPredictor.result_folders

    def __init__(self, column: SegmentationColumn) -> None:
        self.column = column
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
        return write_label_map(result, source, out)
