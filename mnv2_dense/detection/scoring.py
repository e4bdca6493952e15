"""COCO box scores by pycocotools: the twelve numbers and the precision of every class."""

import contextlib
import io
import json
import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mnv2_dense.errors import UserError
from mnv2_dense.structures import Category, Detections

UNDEFINED: Final = -1.0  # pycocotools' value for "no ground truth of this kind"
# Key, what is averaged, IoU thresholds, object size, detections per image; COCOeval's order.
_SUMMARY: Final = (
    ("mAP", "AP", "0.50:0.95", "all", 100),
    ("AP50", "AP", "0.50", "all", 100),
    ("AP75", "AP", "0.75", "all", 100),
    ("APs", "AP", "0.50:0.95", "small", 100),
    ("APm", "AP", "0.50:0.95", "medium", 100),
    ("APl", "AP", "0.50:0.95", "large", 100),
    ("AR1", "AR", "0.50:0.95", "all", 1),
    ("AR10", "AR", "0.50:0.95", "all", 10),
    ("AR100", "AR", "0.50:0.95", "all", 100),
    ("ARs", "AR", "0.50:0.95", "small", 100),
    ("ARm", "AR", "0.50:0.95", "medium", 100),
    ("ARl", "AR", "0.50:0.95", "large", 100),
)
SUMMARY_KEYS: Final = tuple(line[0] for line in _SUMMARY)


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
    ground_truth: Mapping[str, Any],
    results: Iterable[Mapping[str, Any]],
    image_ids: Collection[int] | None = None,
) -> DetectionScores:
    """Score box detections by pycocotools' COCOeval, crowd boxes by its rule; prints nothing.

    Rule on annotation ids: they are renumbered from 1 in a copy. COCOeval stores the id of the
    matched annotation as its "is matched" flag, so a detection that matches annotation id 0
    counts as a false positive there. The scores equal COCOeval's on the renumbered file, and on
    any file without an id 0 or repeated ids they equal COCOeval's on the file itself.

    Ground-truth boxes that are not four finite numbers are left out, because COCOeval would
    match anything to them; all others, also of zero size, count. A missing `area` is width x
    height, a missing `iscrowd` 0.

    A box of `difficult` 1, as VOC has them, is neither missed nor found: as COCOeval treats what
    it ignores, but by plain IoU and once. COCO's files have no such key.

    Args:
        ground_truth: COCO instances JSON; not changed.
        results: COCO results, `{"image_id", "category_id", "bbox": [x, y, w, h], "score"}`;
            none at all is allowed; a category that the ground truth lacks is ignored.
        image_ids: images to measure, all by default; repeated ids count once.

    Raises:
        UserError: an image that the ground truth lacks, or a box or score that is not finite.
    """
    truth = needed_fields(ground_truth)
    known = {image["id"] for image in truth["images"]}
    measured = known if image_ids is None else set(image_ids)
    detections = _numbered(results)
    _check_images(measured.union(result["image_id"] for result in detections), known)
    evaluator = _run_cocoeval(truth, detections, sorted(measured))
    return DetectionScores(
        summary=dict(zip(SUMMARY_KEYS, map(float, evaluator.stats), strict=True)),
        per_class=_per_class(evaluator, truth["categories"]),
        images=len(measured),
    )


def read_ground_truth(annotation_file: Path) -> dict[str, Any]:
    """What `evaluate` needs of a COCO instances file, without masks and other bulk.

    Raises:
        UserError: the file cannot be read or is no COCO instances file.
    """
    try:
        content = json.loads(annotation_file.read_bytes())
    except OSError as error:
        reason = error.strerror or str(error)
        raise UserError(f"cannot read the annotation file {annotation_file}: {reason}") from error
    except ValueError as error:
        raise UserError(f"the annotation file {annotation_file} is no JSON: {error}") from error
    try:
        return needed_fields(content)
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{annotation_file} is no COCO instances file ({error!r}); it needs images,"
            " annotations and categories with COCO's fields"
        ) from error


def coco_results(
    image_ids: Sequence[int], detections: Sequence[Detections], categories: Sequence[Category]
) -> list[dict[str, Any]]:
    """Detections in COCO's results format; of an image that comes twice the first one counts.

    The float32 corners become width and height in float64, so nothing is rounded: JSON written
    from this list gives pycocotools exactly the numbers that `evaluate` sees.

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
    return [
        result
        for image_id, found in first.items()
        for result in _image_results(image_id, found, categories)
    ]


def summary_table(scores: DetectionScores) -> str:
    """The twelve numbers in the lines that pycocotools prints."""
    words = {"AP": "Average Precision  (AP)", "AR": "Average Recall     (AR)"}
    return "\n".join(
        f" {words[kind]} @[ IoU={iou:<9} | area={area:>6} | maxDets={limit:>3} ]"
        f" = {scores.summary[key]:0.3f}"
        for key, kind, iou, area, limit in _SUMMARY
    )


def per_class_table(scores: DetectionScores) -> str:
    """One line per class, best AP first; a dash where a class has no ground truth to measure."""
    columns = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR100")
    width = max(map(len, ("class", *scores.per_class)))
    lines = [" ".join([f"{'class':<{width}}", *(f"{column:>6}" for column in columns)])]
    for name, values in sorted(scores.per_class.items(), key=lambda item: -item[1]["AP"]):
        cells = (f"{values[c]:6.3f}" if values[c] != UNDEFINED else f"{'-':>6}" for c in columns)
        lines.append(" ".join([f"{name:<{width}}", *cells]))
    return "\n".join(lines)


def needed_fields(ground_truth: Mapping[str, Any]) -> dict[str, Any]:
    """What `evaluate` needs of a ground truth: a copy without outlines and other bulk.

    Annotations are numbered from 1.
    """
    usable = [a for a in ground_truth["annotations"] if _is_finite_box(a["bbox"])]
    return {
        "images": [{"id": image["id"]} for image in ground_truth["images"]],
        "categories": [{"id": c["id"], "name": c["name"]} for c in ground_truth["categories"]],
        "annotations": [
            {
                "id": number,
                "image_id": annotation["image_id"],
                "category_id": annotation["category_id"],
                "bbox": annotation["bbox"],
                "area": annotation.get("area", annotation["bbox"][2] * annotation["bbox"][3]),
                "iscrowd": annotation.get("iscrowd", 0),
                "difficult": annotation.get("difficult", 0),
            }
            for number, annotation in enumerate(usable, start=1)
        ],
    }


def _is_finite_box(box: Sequence[float]) -> bool:
    return len(box) == 4 and all(math.isfinite(value) for value in box)


def _numbered(results: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Results as annotations; COCO.loadRes does the same but fails when there are none."""
    detections = []
    for number, result in enumerate(results, start=1):
        box, score = result["bbox"], result["score"]
        if not (_is_finite_box(box) and math.isfinite(score)):
            raise UserError(
                f"a detection in image {result['image_id']} has box {list(box)} and score {score};"
                " both must be finite numbers; the weights that made it have probably diverged"
            )
        area = box[2] * box[3]
        detections.append({**result, "id": number, "area": area, "iscrowd": 0})
    return detections


def _check_images(used: set[int], known: set[int]) -> None:
    if unknown := sorted(used - known):
        raise UserError(
            f"image id {unknown[0]} ({len(unknown)} such in all) was predicted but is not in the"
            " annotation file; evaluate with the file that lists these images"
        )


class _Evaluator(COCOeval):
    """COCOeval that leaves difficult boxes out of the measurement, too."""

    def _prepare(self) -> None:
        super()._prepare()  # pyrefly: ignore[missing-attribute]
        for boxes in self._gts.values():  # pyrefly: ignore[missing-attribute]
            for box in boxes:
                box["ignore"] = box["ignore"] or box["difficult"]


def _run_cocoeval(
    truth: dict[str, Any], detections: list[dict[str, Any]], image_ids: list[int]
) -> COCOeval:
    with contextlib.redirect_stdout(io.StringIO()):
        evaluator = _Evaluator(
            _indexed(truth), _indexed({**truth, "annotations": detections}), "bbox"
        )
        evaluator.params.imgIds = image_ids
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return evaluator


def _indexed(dataset: Any) -> COCO:
    coco = COCO()
    coco.dataset = dataset
    coco.createIndex()
    return coco


def _per_class(
    evaluator: COCOeval, categories: list[dict[str, Any]]
) -> dict[str, dict[str, float]]:
    names = {category["id"]: str(category["name"]) for category in categories}
    repeats = Counter(names.values())
    # Axes: IoU thresholds, recall thresholds, classes, sizes (all, s, m, l), limits (1, 10, 100).
    precision, recall = evaluator.eval["precision"][..., -1], evaluator.eval["recall"][..., -1]
    scores = {}
    for k, category_id in enumerate(evaluator.params.catIds):
        name = names[category_id]
        key = name if repeats[name] == 1 else f"{name} ({category_id})"
        scores[key] = _class_scores(precision[:, :, k], recall[:, k])
    return scores


def _class_scores(precision: NDArray[np.float64], recall: NDArray[np.float64]) -> dict[str, float]:
    """From precision [IoUs, recalls, sizes] and recall [IoUs, sizes] of one class."""
    return {
        "AP": _average(precision[:, :, 0]),
        "AP50": _average(precision[0, :, 0]),
        "AP75": _average(precision[5, :, 0]),
        "APs": _average(precision[:, :, 1]),
        "APm": _average(precision[:, :, 2]),
        "APl": _average(precision[:, :, 3]),
        "AR100": _average(recall[:, 0]),
    }


def _average(values: NDArray[np.float64]) -> float:
    defined = values[values > UNDEFINED]
    return float(defined.mean()) if defined.size else UNDEFINED


def _image_results(
    image_id: int, detections: Detections, categories: Sequence[Category]
) -> list[dict[str, Any]]:
    labels = detections.labels.tolist()
    if wrong := [label for label in labels if not 0 <= label < len(categories)]:
        raise ValueError(f"label {wrong[0]} in image {image_id}: {len(categories)} categories")
    boxes = detections.boxes.detach().cpu().double()
    boxes = torch.cat([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], dim=1)
    return [
        {
            "image_id": image_id,
            "category_id": categories[label].category_id,
            "bbox": box,
            "score": score,
        }
        for label, box, score in zip(
            labels, boxes.tolist(), detections.scores.tolist(), strict=True
        )
    ]
