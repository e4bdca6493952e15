"""Scores of a confusion matrix: mean IoU, accuracy, the IoU of every class, and its picture."""

import warnings
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mnv2_dense.coco_evaluation.summary import unique_names
from mnv2_dense.drawing import Picture

UNDEFINED: Final = -1.0  # "not one pixel to measure", as in COCO's scores
SUMMARY_KEYS: Final = ("mIoU", "pixel_accuracy", "frequency_weighted_IoU")

_NUMBERED_CLASSES = 12
_LONGEST_NAME = 24


class SegmentationScores(NamedTuple):
    """Scores in [0, 1] over all pixels of a set whose class is known (void is left out).

    summary: mIoU, pixel_accuracy and frequency_weighted_IoU; -1 where there was no pixel.
    per_class: IoU by class name in the order of the classes, None for a class that is absent
        from the set; a name that several classes share is keyed "name (label)".
    confusion_matrix: pixels by true class (row) and predicted class (column), int64 [C, C].

    It is a named tuple because torchmetrics rebuilds what `compute` returns, which a frozen
    dataclass forbids.
    """

    summary: dict[str, float]
    per_class: dict[str, float | None]
    confusion_matrix: NDArray[np.int64]

    def as_dict(self) -> dict[str, Any]:
        """Everything as JSON values: the summary, `per_class`, `classes`, `confusion_matrix`."""
        return {
            **self.summary,
            "per_class": self.per_class,
            "classes": list(self.per_class),
            "confusion_matrix": self.confusion_matrix.tolist(),
        }


def evaluate(matrix: NDArray[np.int64], names: Sequence[str]) -> SegmentationScores:
    """The scores of a confusion matrix over a whole set.

    IoU of a class = hits / (pixels of the class + pixels predicted as it - hits), over the whole
    set and not per image. Rule on absent classes: a class without one reference pixel in the set
    has no IoU and is not averaged into mIoU, even where it was predicted; such wrong pixels lower
    the IoU of the classes that they belong to, and the pixel accuracy.

    The frequency-weighted IoU weighs every class by its share of the reference pixels.

    Args:
        matrix: pixels by true class (row) and predicted class (column), int64 [C, C].
        names: the C classes in label order.

    Raises:
        ValueError: the matrix is not C x C.

    Source: PASCAL VOC 2012 development kit, VOCevalseg; Long, Shelhamer and Darrell, "Fully
    Convolutional Networks", section 5 (the frequency-weighted IoU).
    """
    if matrix.shape != (len(names), len(names)):
        raise ValueError(f"a matrix of {matrix.shape} for {len(names)} classes")
    hits, truth, predicted = np.diag(matrix), matrix.sum(axis=1), matrix.sum(axis=0)
    present = truth > 0
    iou = hits[present] / (truth + predicted - hits)[present]
    pixels = int(truth.sum())
    values = (
        (iou.mean(), hits.sum() / pixels, (iou * truth[present]).sum() / pixels)
        if pixels
        else (UNDEFINED,) * len(SUMMARY_KEYS)
    )
    by_class: list[float | None] = [None] * len(names)
    for label, value in zip(np.flatnonzero(present), iou.tolist(), strict=True):
        by_class[label] = value
    return SegmentationScores(
        summary=dict(zip(SUMMARY_KEYS, map(float, values), strict=True)),
        per_class=dict(zip(class_keys(names), by_class, strict=True)),
        confusion_matrix=matrix,
    )


def class_keys(names: Sequence[str]) -> list[str]:
    """The names as keys: one that several classes share becomes "name (label)"."""
    return unique_names(dict(enumerate(names)))


def summary_table(scores: SegmentationScores) -> str:
    """The three numbers, a line each."""
    present = sum(iou is not None for iou in scores.per_class.values())
    notes = {"mIoU": f" over {present} of {len(scores.per_class)} classes"}
    width = max(map(len, SUMMARY_KEYS))
    return "\n".join(
        f" {key:<{width}} = {scores.summary[key]:0.3f}{notes.get(key, '')}" for key in SUMMARY_KEYS
    )


def per_class_table(scores: SegmentationScores) -> str:
    """One line per class, best IoU first; a dash where a class is absent from the set."""
    width = max(map(len, ("class", *scores.per_class)))
    lines = [f"{'class':<{width}} {'IoU':>6}"]
    for name, iou in sorted(
        scores.per_class.items(), key=lambda item: -(UNDEFINED if item[1] is None else item[1])
    ):
        lines.append(f"{name:<{width}} " + (f"{'-':>6}" if iou is None else f"{iou:6.3f}"))
    return "\n".join(lines)


def draw_confusion_matrix(scores: SegmentationScores) -> Picture:
    """The matrix as a picture: every row in shares of its class's reference pixels.

    The rows of absent classes are gray. With few classes the shares stand in the cells, in
    per cent.
    """
    # matplotlib takes longer to import than a short command takes to answer.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    classes = len(scores.per_class)
    side = max(4.0, 0.25 * classes)  # inches; a quarter holds a name in 8 points
    figure = Figure(figsize=(side + 3.0, side + 2.0), dpi=100, layout="constrained")
    _plot_matrix(figure.add_subplot(), _row_shares(scores.confusion_matrix), scores)
    canvas = FigureCanvasAgg(figure)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # letters that the font lacks are drawn as boxes
        canvas.draw()
    return np.array(canvas.buffer_rgba())[..., :3].copy()


def _row_shares(matrix: NDArray[np.int64]) -> NDArray[np.float64]:
    """Shares [C, C] of each row's sum; NaN in the rows of absent classes."""
    truth = matrix.sum(axis=1, keepdims=True)
    return np.divide(matrix, truth, out=np.full(matrix.shape, np.nan), where=truth > 0)


def _plot_matrix(axes: Any, shares: NDArray[np.float64], scores: SegmentationScores) -> None:
    classes = len(shares)
    axes.set_facecolor("0.85")
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    labels = [_shorten(name) for name in scores.per_class]
    for axis in (axes.xaxis, axes.yaxis):
        # A dollar sign in a name is no formula.
        axis.set_ticks(range(classes), labels, fontsize=8, parse_math=False)
    axes.tick_params(axis="x", rotation=90)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    axes.set_title(f"share of each class's pixels; mIoU {scores.summary['mIoU']:.3f}", fontsize=10)
    axes.figure.colorbar(image, ax=axes, shrink=0.8)
    if classes <= _NUMBERED_CLASSES:
        for (row, column), share in np.ndenumerate(shares):
            if np.isfinite(share):
                color = "white" if share > 0.5 else "black"
                axes.text(column, row, f"{100 * share:.1f}", ha="center", va="center",
                          color=color, fontsize=8)  # fmt: skip


def _shorten(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"
