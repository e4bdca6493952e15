"""COCO's scores of boxes: ground truth and detections in, numbers out."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final, Literal, NamedTuple, get_args

import numpy as np

from mnv2_dense.coco_evaluation.columns import Ids, Numbers, ids_of
from mnv2_dense.coco_evaluation.instances import ground_truth_of
from mnv2_dense.coco_evaluation.measuring import measure
from mnv2_dense.coco_evaluation.options import Options
from mnv2_dense.coco_evaluation.records import (
    GroundTruth,
    Results,
    check_finite,
    results_of,
)
from mnv2_dense.coco_evaluation.summary import summarize, summarize_classes
from mnv2_dense.errors import UserError

Backend = Literal["mnv2_dense", "pycocotools"]
COCO: Final = Options()


class Evaluation(NamedTuple):
    """Scores in [0, 1]; -1 where there is no ground truth to measure, as in pycocotools.

    Attributes:
        summary: The twelve numbers, in COCO's order: see `summarize`.
        per_class: AP, AP50, AP75, APs, APm, APl and AR100 by class name, ordered by category id; a
            name that several categories share is keyed "name (category_id)".
        images: How many images were measured.
        category_ids: The classes of the axis K below; empty where classes are disregarded.
        precision: float64 [T, R, K, A, M], by IoU threshold, recall threshold, class, area range
            and number of detections: a curve is `precision[0, :, k, 0, -1]`.
        recall: float64 [T, K, A, M], the highest that is reached.
    """

    summary: dict[str, float]
    per_class: dict[str, dict[str, float]]
    images: int
    category_ids: tuple[int, ...]
    precision: Numbers
    recall: Numbers

    def as_dict(self) -> dict[str, Any]:
        """The numbers as JSON values: the twelve, `per_class` and `images`."""
        return {**self.summary, "per_class": self.per_class, "images": self.images}


def evaluate(
    ground_truth: GroundTruth | Mapping[str, Any],
    results: Results | Iterable[Mapping[str, Any]],
    *,
    image_ids: Collection[int] | None = None,
    options: Options = COCO,
    backend: Backend = "mnv2_dense",
) -> Evaluation:
    """Scores box detections as pycocotools' COCOeval does; nothing given is changed.

    Both backends give the same numbers, of boxes whose areas are finite. They differ from COCOeval
    on the file itself in three ways: an annotation of id 0, or of an id given twice, counts like
    any other; an object whose box is not four finite numbers is left out; and a box of `difficult`
    1, as VOC has them, is neither missed nor found, as what COCOeval ignores, but by plain IoU and
    once.

    Args:
        ground_truth: A COCO instances file's content, or its columns.
        results: COCO results, `{"image_id", "category_id", "bbox": [x, y, w, h], "score"}` each,
            or their columns; none at all is allowed; a category that the ground truth lacks is
            ignored.
        image_ids: Images to measure, all by default; whole numbers (also 7.0); repeated ids
            count once.
        options: Thresholds, sizes and numbers of detections, COCO's by default.
        backend: What computes: this package, or pycocotools, which takes many times as long.

    Raises:
        UserError: An image that the ground truth lacks, an id that is no whole number, a box or
            score that is not finite, records without their fields, or an unknown backend.
    """
    if backend not in get_args(Backend):
        raise UserError(f"backend {backend!r}; give one of {', '.join(get_args(Backend))}")
    truth = ground_truth if isinstance(ground_truth, GroundTruth) else ground_truth_of(ground_truth)
    found = results if isinstance(results, Results) else results_of(results)
    check_finite(found)
    measured_ids = images_to_measure(truth, found, image_ids)
    if backend == "pycocotools":
        from mnv2_dense.coco_evaluation.reference import measure as run
    else:
        run = measure
    measured = run(truth, found, measured_ids, options)
    return Evaluation(
        summarize(measured, options),
        summarize_classes(measured, truth.categories, options),
        len(measured_ids),
        () if options.class_blind else tuple(truth.categories),
        *measured,
    )


def images_to_measure(
    truth: GroundTruth, results: Results, image_ids: Collection[int] | None
) -> Ids:
    """The images to measure, ascending, each once.

    Args:
        truth: Has all images.
        results: What was found.
        image_ids: Of the images to measure; None for all.

    Raises:
        UserError: An image that the ground truth lacks, or an id that is no whole number.
    """
    measured = truth.image_ids
    if image_ids is not None:
        measured = np.unique(ids_of(list(image_ids), "image_ids"))
    _check_images(measured, truth.image_ids, "is to be measured")
    _check_images(results.images, truth.image_ids, "was predicted")
    return measured


def _check_images(used: Ids, known: Ids, what: str) -> None:
    unknown = np.setdiff1d(used, known)
    if len(unknown):
        raise UserError(
            f"image id {unknown[0]} ({len(unknown)} such in all) {what} but is not in the"
            " annotation file; evaluate with the file that lists these images"
        )
