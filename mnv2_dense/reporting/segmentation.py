"""A segmenter's part of the page: IoU of every class, and what is taken for what."""

import csv
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import NDArray

from mnv2_dense.reporting.matrix import Confusions, draw_matrix
from mnv2_dense.reporting.parts import (
    card,
    choose_rows,
    hint,
    order_of,
    score,
    score_bar,
    section,
    table,
    tiles,
)

_SUMMARY = {
    "mIoU": "mIoU",
    "pixel_accuracy": "pixel accuracy",
    "frequency_weighted_IoU": "frequency-weighted IoU",
}


class PictureScore(NamedTuple):
    """What an evaluation says of a picture.

    Attributes:
        miou: Of the picture alone, in [0, 1].
        classes: How many its ground truth has; None where an earlier version did not write it.
    """

    miou: float
    classes: int | None


def read_picture_scores(path: Path) -> dict[str, PictureScore] | None:
    """Every picture that has a score, by its name; None where the file cannot be used."""
    try:
        with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
            header, *rows = csv.reader(file)
        if header not in (["picture", "mIoU"], ["picture", "mIoU", "classes"]):
            return None
        return {row[0]: _read_score(*row[1:]) for row in rows if row[1]}
    except (OSError, ValueError, TypeError, IndexError, csv.Error):
        return None


def _read_score(miou: str, classes: str | None = None) -> PictureScore:
    found = PictureScore(float(miou), None if classes is None else int(classes))
    if not (0 <= found.miou <= 1 and (found.classes is None or found.classes > 0)):
        raise ValueError
    return found


def draw_segmentation(metrics: dict[str, Any]) -> list[Element]:
    """The sections of a segmenter.

    Args:
        metrics: Of its evaluation, as `metrics.json` has them.
    """
    matrix = _matrix_of(metrics)
    parts = [_scores(metrics), _classes(metrics["per_class"], matrix)]
    if matrix is not None:
        names = list(metrics["per_class"])
        drawn = draw_matrix(Confusions(matrix, names, names, "pixel"))
        parts.append(section("Confusion matrix", card(*drawn), key="confusion"))
    return parts


def _matrix_of(metrics: dict[str, Any]) -> NDArray[np.int64] | None:
    """The confusion matrix, if there is one of the classes."""
    classes = len(metrics["per_class"])
    try:
        matrix = np.array(metrics.get("confusion_matrix"), dtype=np.int64)
    except (TypeError, ValueError, OverflowError):
        return None
    return matrix if matrix.shape == (classes, classes) and classes else None


def _scores(metrics: dict[str, Any]) -> Element:
    values = [(name, score(metrics.get(key))) for key, name in _SUMMARY.items()]
    present = sum(value is not None for value in metrics["per_class"].values())
    note = hint(
        "One confusion matrix over the whole set, at the original size of every mask, void left "
        f"out; mIoU over the {present} of {len(metrics['per_class'])} classes that are in it."
    )
    return section("Scores", tiles(values), note, key="scores")


def _classes(per_class: dict[str, float | None], matrix: NDArray[np.int64] | None) -> Element:
    """IoU of every class, the best one first."""
    names = list(per_class)
    values = [order_of(each) for each in per_class.values()]
    shown, note = choose_rows(dict(enumerate(values)))
    more = () if matrix is None else ("precision", "recall", "share of pixels")
    rows = [
        (
            names[label],
            score_bar(values[label]),
            *(() if matrix is None else _class_shares(matrix, label)),
        )
        for label in shown
    ]
    words = (
        "The best class first. Precision: of what is predicted as the class; recall: of the class; "
        f"a dash: there is none of it.{note}"
    )
    drawn = table(("class", "IoU", *more), rows, "facts classes-table")
    return section("IoU per class", card(drawn, hint(words)), key="classes")


def _class_shares(matrix: NDArray[np.int64], label: int) -> tuple[str, str, str]:
    hits, true = int(matrix[label, label]), int(matrix[label].sum())
    predicted, total = int(matrix[:, label].sum()), int(matrix.sum())
    precision = score(hits / predicted if predicted else None)
    share = f"{true / total:.1%}" if total else "-"
    return precision, score(hits / true if true else None), share
