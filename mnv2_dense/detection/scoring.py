"""COCO box scores: the twelve numbers and the precision of every class."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import torch

from mnv2_dense import coco_evaluation
from mnv2_dense.coco_evaluation.evaluation import Backend
from mnv2_dense.coco_evaluation.records import GroundTruth, Results, results_from_arrays
from mnv2_dense.coco_evaluation.tables import SUMMARY_KEYS as COCO_KEYS
from mnv2_dense.coco_evaluation.tables import format_classes, format_summary
from mnv2_dense.structures import Category, Detections

SUMMARY_KEYS: Final = COCO_KEYS


class DetectionScores(NamedTuple):
    """COCO scores in [0, 1]; -1 where there is no ground truth to measure, as in pycocotools.

    summary: the twelve numbers, keyed and ordered as SUMMARY_KEYS.
    per_class: by class name AP, AP50, AP75, APs, APm, APl and AR100; a name that several
        categories share is keyed "name (category_id)".
    images: how many images were measured; fewer than the file holds after a limited run.

    It is a named tuple because torchmetrics rebuilds what `compute` returns, which a frozen
    dataclass forbids.
    """

    summary: dict[str, float]
    per_class: dict[str, dict[str, float]]
    images: int

    def as_dict(self) -> dict[str, Any]:
        """Everything as JSON values: the twelve numbers, `per_class` and `images`; -1 stays -1."""
        return {**self.summary, "per_class": self.per_class, "images": self.images}


def evaluate(
    ground_truth: GroundTruth | Mapping[str, Any],
    results: Results | Iterable[Mapping[str, Any]],
    image_ids: Collection[int] | None = None,
    *,
    backend: Backend = "mnv2_dense",
) -> DetectionScores:
    """Score box detections; see `mnv2_dense.coco_evaluation.evaluate`, which this calls.

    Args:
        ground_truth: COCO instances JSON, or its columns; not changed.
        results: COCO results, or their columns.
        image_ids: images to measure, all by default; repeated ids count once.
        backend: what computes; both give the same numbers.

    Raises:
        UserError: an image that the ground truth lacks, or a box or score that is not finite.
    """
    measured = coco_evaluation.evaluate(ground_truth, results, image_ids=image_ids, backend=backend)
    return DetectionScores(measured.summary, measured.per_class, measured.images)


def coco_results(
    image_ids: Sequence[int], detections: Sequence[Detections], categories: Sequence[Category]
) -> Results:
    """Detections as columns of COCO results; of an image that comes twice the first one counts.

    The float32 corners become width and height in float64, so nothing is rounded: JSON written
    from them gives pycocotools exactly the numbers that `evaluate` sees.

    Args:
        image_ids: the image of each entry of `detections`.
        detections: boxes xyxy in pixels of the original images; labels index `categories`.
        categories: the data set's classes in label order.

    Raises:
        ValueError: a label without a category, or not one image id per entry.
    """
    first: dict[int, Detections] = {}
    for image_id, found in zip(image_ids, detections, strict=True):
        first.setdefault(image_id, found)
    counts = [len(found.scores) for found in first.values()]
    images = np.repeat(np.array([*first], dtype=np.int64), counts)
    nothing = Detections(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.int64))
    boxes, scores, labels = (
        torch.cat(column).detach().cpu().numpy()
        for column in zip(nothing, *first.values(), strict=True)
    )
    if len(wrong := np.flatnonzero((labels < 0) | (labels >= len(categories)))):
        place = wrong[0]
        raise ValueError(
            f"label {labels[place]} in image {images[place]}: {len(categories)} categories"
        )
    numbers = np.array([category.category_id for category in categories], dtype=np.int64)
    return results_from_arrays(images, numbers[labels], boxes, scores, layout="xyxy")


def summary_table(scores: DetectionScores) -> str:
    """The twelve numbers in the lines that pycocotools prints."""
    return format_summary(scores.summary)


def per_class_table(scores: DetectionScores) -> str:
    """One line per class, best AP first; a dash where a class has no ground truth to measure."""
    return format_classes(scores.per_class)
