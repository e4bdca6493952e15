"""Evaluation of label maps: counting pixels, up-sampling, and a whole validation step."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchmetrics.classification import MulticlassConfusionMatrix

from mnv2_dense.benchmarking.evaluation.mask_subjects import (
    WINDOW,
    Answers,
    Replayed,
    Trained,
    open_trained,
    random_answers,
)
from mnv2_dense.benchmarking.interleaving import measure
from mnv2_dense.benchmarking.ratios import Ratio, divide
from mnv2_dense.benchmarking.report import Section
from mnv2_dense.ops.confusion import confusion_matrix
from mnv2_dense.segmentation.decode import Part, locate
from mnv2_dense.segmentation.strips import LogitStrip
from mnv2_dense.structures import IGNORE_INDEX

OURS: Final = "ours"
NAIVE, FAST = "interpolate, argmax(1)", "interpolate channels last, max(1)"
FORWARD, STEP, REST = "network alone", "validation step", "validation step without its network"
MOST_MILLISECONDS: Final = 1.5
"""Of counting 513x513 pixels."""
MOST_OF_NAIVE: Final = 0.25
LEAST_EQUAL: Final = 0.9999

Calls = dict[str, Callable[[], Any]]


def measure_masks(
    repetitions: int = 30, checkpoint: Path | None = None, overrides: Sequence[str] = ()
) -> Iterator[Section]:
    """Counting, up-sampling and, of a checkpoint, the validation step.

    Args:
        repetitions: Of every call.
        checkpoint: Of a segmenter with 513x513 input; None measures random answers alone.
        overrides: Of its config, as `data.root=FOLDER`.

    Raises:
        UserError: See `open_trained`.
    """
    trained = None if checkpoint is None else open_trained(checkpoint, overrides)
    known = [random_answers()] if trained is None else [trained.answers(), random_answers()]
    for answers in known:
        yield _measure_counting(answers, repetitions)
    for answers in known:
        yield _measure_labels(answers, repetitions)
    if trained is not None:
        yield _measure_step(trained, repetitions)


def _measure_counting(answers: Answers, repetitions: int) -> Section:
    predicted, reference = _naive(answers.logits)[0], answers.reference
    classes = answers.logits.shape[1]
    calls: Calls = {}
    for kind in (torch.int64, torch.uint8):
        name, found = str(kind).removeprefix("torch."), predicted.to(kind)
        calls[f"{OURS}, {name}"] = partial(confusion_matrix, found, reference, classes)
        calls[f"NumPy bincount, {name}"] = partial(_bincount, found, reference, classes)
        for validate in (True, False):
            metric = MulticlassConfusionMatrix(
                classes, ignore_index=IGNORE_INDEX, validate_args=validate
            )
            peer = f"torchmetrics{'' if validate else ' without validation'}, {name}"
            calls[peer] = partial(metric.update, found, reference)
    timings = measure(calls, repetitions)
    ratios: list[Ratio] = []
    for name in ("int64", "uint8"):
        ours = timings[f"{OURS}, {name}"]
        what = f"milliseconds of {OURS}, {name}"
        ratios.append(Ratio(what, 1000 * ours.median, 1000 * ours.best, MOST_MILLISECONDS))
        for peer in ("NumPy bincount", "torchmetrics", "torchmetrics without validation"):
            ratios.append(divide(timings, f"{OURS}, {name}", f"{peer}, {name}"))
    pixels = "x".join(map(str, WINDOW))
    note = f"{pixels} pixels, {classes} classes; reference uint8 with void, predicted as named"
    return Section(f"Confusion matrix update, {answers.name}", timings, ratios, [note])


def _bincount(predicted: Tensor, reference: Tensor, classes: int) -> Any:
    known = (true := reference.numpy()) != IGNORE_INDEX
    pairs = classes * true[known].astype(np.int64) + predicted.numpy()[known]
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def _measure_labels(answers: Answers, repetitions: int) -> Section:
    logits, last = answers.logits, answers.logits.contiguous(memory_format=torch.channels_last)
    calls: Calls = {
        OURS: partial(_labels, logits),
        NAIVE: partial(_naive, logits),
        FAST: lambda: _resized(last).max(1).indices,
    }
    equal = float((_labels(logits) == _naive(logits)[0]).double().mean())
    timings = measure(calls, repetitions)
    ratios = [
        divide(timings, OURS, NAIVE, MOST_OF_NAIVE),
        divide(timings, OURS, FAST),
        Ratio("share of pixels as the naive form's", equal, equal, LEAST_EQUAL, "at least"),
    ]
    notes = [f"logits {tuple(logits.shape)} to {WINDOW.width}x{WINDOW.height}"]
    return Section(f"Up-sampling and argmax, {answers.name}", timings, ratios, notes)


def _labels(logits: Tensor) -> Tensor:
    """As evaluation finds them, places of the pixels included."""
    part = Part(*map(range, WINDOW))
    places = locate(logits, WINDOW, part, align_corners=True)
    return LogitStrip(0, 0, 0, logits[0], *places).labels()


def _naive(logits: Tensor) -> Tensor:
    return _resized(logits).argmax(1)


def _resized(logits: Tensor) -> Tensor:
    return F.interpolate(logits, tuple(WINDOW), mode="bilinear", align_corners=True)


def _measure_step(trained: Trained, repetitions: int) -> Section:
    """The step beside its network alone, and beside itself with a network that takes no time."""
    task, network = trained.task, trained.task.network

    @torch.inference_mode()
    def validate(used: nn.Module) -> None:
        task.network = used
        task.validation_step(trained.batch, 0)

    @torch.inference_mode()
    def forward() -> None:
        network(trained.images)

    calls: Calls = {
        FORWARD: forward,
        STEP: partial(validate, network),
        REST: partial(validate, Replayed(trained.outputs)),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Lightning's, that there is no trainer to log for.
        timings = measure(calls, repetitions, warm=False)
    task.network = network
    ratios = [divide(timings, STEP, FORWARD), divide(timings, REST, STEP)]
    notes = [f"{len(trained.images)} pictures of at most {WINDOW.width}x{WINDOW.height}"]
    return Section("Validation step of a segmenter", timings, ratios, notes)
