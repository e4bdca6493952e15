"""Shows what a network sees in pictures: boxes, label maps or names."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from mnv2_dense.backbone.weights import IMAGENET, classifier_state, download_imagenet
from mnv2_dense.builders.trainer import set_threads
from mnv2_dense.commands.checks import check_output
from mnv2_dense.commands.classify import TOP, open_classifier, open_classifier_checkpoint
from mnv2_dense.commands.column import Column, Predictor
from mnv2_dense.commands.columns import column_of
from mnv2_dense.commands.opening import is_classifier, open_content
from mnv2_dense.commands.outputs import Outputs
from mnv2_dense.commands.prediction_job import WHOLE, Share, describe_weights, run_job
from mnv2_dense.commands.session import quiet_lightning
from mnv2_dense.detection.task import DetectionTask
from mnv2_dense.errors import UserError
from mnv2_dense.ops.checkpoint_file import read_checkpoint
from mnv2_dense.training.checkpoint_io import CARD

SCORE_THRESHOLD = 0.3
"""Lowest score of a box that is shown where none is asked for."""


def predict(
    sources: Sequence[Path],
    overrides: Sequence[str] = (),
    *,
    weights: str,
    out: Path,
    score_threshold: float | None = None,
    top: int | None = None,
    processes: int = 1,
    share: Share = WHOLE,
) -> None:
    """Writes what is seen in every picture into `out`, as pictures and as one JSON file.

    A detector draws boxes and writes COCO results; a segmenter writes label maps, overlays and
    the shares of the classes; a classifier draws nothing and writes the likeliest classes.
    Pictures are shown and measured upright (their EXIF rotation applied). A picture that cannot
    be read is named at the end; the others are done. What an earlier call with the same settings
    has done is not done again.

    Args:
        sources: Pictures and folders of pictures.
        overrides: Changes to the config, of the form `key.path=value`.
        weights: Path of a checkpoint of ours or of a classifier's weights, or `imagenet`.
        out: Folder of the results.
        score_threshold: Of a detector: lowest score of a box, 0 to 1.
        top: Of a classifier: how many classes are named.
        processes: How many share the work on this machine.
        share: The part of the pictures that this call does.

    Raises:
        UserError: No picture was found, some could not be read, or `out` holds results of other
            weights or settings.
    """
    quiet_lightning()
    check_output(out)
    opener = partial(open_predictor, weights, overrides, score_threshold, top)
    predictor = opener()
    settings = {
        "weights": describe_weights(weights),
        # What a network was trained with, and on how many threads, does not change what it sees.
        "changes": [text for text in overrides if not text.startswith("training.")],
        "score_threshold": SCORE_THRESHOLD if score_threshold is None else score_threshold,
        "top": TOP if top is None else top,
    }
    outputs = Outputs(out, predictor.result_folders, predictor.records_name)
    run_job(predictor, opener, sources, outputs, settings, processes, share)


def open_predictor(
    weights: str, overrides: Sequence[str], score_threshold: float | None, top: int | None
) -> Predictor:
    """The network that the weights are of; see `predict`.

    Raises:
        UserError: The weights are of no network known here, or it has no such option.
    """
    content = read_checkpoint(Path(weights)) if weights != IMAGENET else _imagenet()
    own = is_classifier(content)
    if CARD in content and not own:
        return _open_column(content, Path(weights), overrides, score_threshold, top)
    state = None if own else classifier_state(content.get("state_dict", content))
    if state is None and not own:
        raise UserError(
            f"{weights}: not a checkpoint of mnv2_dense (it has no config inside), nor a state "
            "dict of a classifier (torchvision's mobilenet_v2, or one of ours); give a file from "
            "a run's checkpoints folder, or such weights"
        )
    if score_threshold is not None:
        raise UserError(f"--score-threshold is for detectors; {weights} is a classifier")
    top = TOP if top is None else top
    if state is None:
        return open_classifier_checkpoint(content, Path(weights), overrides, top)
    return open_classifier(state, weights, overrides, top)


def _imagenet() -> dict[str, Any]:
    return {"state_dict": download_imagenet("--weights imagenet")}


def _open_column(
    content: Mapping[str, Any],
    path: Path,
    overrides: Sequence[str],
    score_threshold: float | None,
    top: int | None,
) -> Column:
    config, categories, task = open_content(content, path, overrides)
    set_threads(config)
    task.eval()
    detects = isinstance(task, DetectionTask)
    kind = "detector" if detects else "segmenter"
    if top is not None:
        raise UserError(f"--top is for classifiers; {path} is a {kind}")
    if detects:
        threshold = SCORE_THRESHOLD if score_threshold is None else score_threshold
        task.decoder.score_threshold = threshold
    elif score_threshold is not None:
        raise UserError(f"--score-threshold is for detectors; {path} is a {kind}")
    return column_of(config, task, categories)
