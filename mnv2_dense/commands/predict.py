"""Shows what a network sees in pictures: boxes, label maps or names."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mnv2_dense.backbone.weights import IMAGENET, classifier_state, download_imagenet
from mnv2_dense.builders.trainer import set_threads
from mnv2_dense.commands.checks import check_output
from mnv2_dense.commands.classify import TOP, open_classifier, open_classifier_checkpoint
from mnv2_dense.commands.column import Column, Predictor, Source
from mnv2_dense.commands.columns import column_of
from mnv2_dense.commands.opening import is_classifier, open_content
from mnv2_dense.commands.outputs import Outputs
from mnv2_dense.commands.session import quiet_lightning, say
from mnv2_dense.detection.task import DetectionTask
from mnv2_dense.errors import UserError
from mnv2_dense.ops.state_dict import read_checkpoint
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
) -> None:
    """Writes what is seen in every picture into `out`, as pictures and as one JSON file.

    A detector draws boxes and writes COCO results; a segmenter writes label maps, overlays and
    the shares of the classes; a classifier draws nothing and writes the likeliest classes.
    Pictures are shown and measured upright (their EXIF rotation applied). A picture that cannot
    be read is named at the end; the others are done.

    Args:
        sources: Pictures and folders of pictures.
        overrides: Changes to the config, of the form `key.path=value`.
        weights: Path of a checkpoint of ours or of a classifier's weights, or `imagenet`.
        out: Folder of the results.
        score_threshold: Of a detector: lowest score of a box, 0 to 1.
        top: Of a classifier: how many classes are named.

    Raises:
        UserError: No picture was found, or some could not be read.
    """
    quiet_lightning()
    check_output(out)
    predictor = open_predictor(weights, overrides, score_threshold, top)
    outputs = Outputs(out, predictor.result_folders, predictor.records_name)
    pictures = [path for source in sources for path in outputs.find_sources(source)]
    names = outputs.name_pictures(pictures)
    outputs.claim(names)
    _predict_all(predictor, pictures, names, outputs)


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


def _predict_all(
    predictor: Predictor, pictures: Sequence[Path], names: Sequence[str], outputs: Outputs
) -> None:
    records: list[dict[str, Any]] = []
    failures: list[str] = []
    for path, number, name in zip(pictures, number_pictures(pictures), names, strict=True):
        try:
            prediction = predictor.predict(Source(path, number, name), outputs.out)
        except (UserError, OSError) as error:  # OSError: the result cannot be written
            failures.append(str(error))
            continue
        records += prediction.records
        say(f"{path}: {prediction.words}")
    outputs.records.write_text(json.dumps(records, indent=1) + "\n")
    say(f"wrote {outputs.records}: {len(records)} records of {len(pictures)} pictures")
    if failures:
        raise UserError(
            f"{len(failures)} of {len(pictures)} pictures failed: " + "; ".join(failures)
        )


def number_pictures(pictures: Sequence[Path]) -> list[int]:
    """Image ids for COCO results: the files' own numbers (as COCO names them), or 1, 2, 3..."""
    stems = [path.stem for path in pictures]
    if all(stem.isdecimal() for stem in stems):
        numbers = [int(stem) for stem in stems]
        if len(set(numbers)) == len(numbers):
            return numbers
    return list(range(1, len(pictures) + 1))
