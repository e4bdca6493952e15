"""Precision and recall by pycocotools: what this package's own must equal."""

import contextlib
import io
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mnv2_dense.coco_evaluation.columns import Ids
from mnv2_dense.coco_evaluation.measuring import Measured
from mnv2_dense.coco_evaluation.options import Options
from mnv2_dense.coco_evaluation.records import GroundTruth, Results, records_of


class _Evaluator(COCOeval):
    """COCOeval that leaves difficult boxes out of the measurement, too."""

    def _prepare(self) -> None:
        super()._prepare()  # pyrefly: ignore[missing-attribute]
        for boxes in self._gts.values():  # pyrefly: ignore[missing-attribute]
            for box in boxes:
                box["ignore"] = box["ignore"] or box["difficult"]


def measure(truth: GroundTruth, results: Results, image_ids: Ids, options: Options) -> Measured:
    """The two arrays; see `measuring.measure`. Prints nothing."""
    with contextlib.redirect_stdout(io.StringIO()):
        objects = _indexed(truth, _objects(truth))
        evaluator = _Evaluator(objects, _indexed(truth, _detections(results)), "bbox")
        _set_parameters(evaluator.params, image_ids, options)
        evaluator.evaluate()
        evaluator.accumulate()
    return Measured(evaluator.eval["precision"], evaluator.eval["recall"])


def _set_parameters(parameters: Any, image_ids: Ids, options: Options) -> None:
    parameters.imgIds = image_ids.tolist()
    parameters.iouThrs = np.array(options.iou_thresholds)
    parameters.recThrs = np.array(options.recall_thresholds)
    parameters.maxDets = list(options.max_detections)
    parameters.areaRng = [list(ends) for ends in options.area_ranges.values()]
    parameters.areaRngLbl = list(options.area_ranges)
    parameters.useCats = int(not options.class_blind)


def _indexed(truth: GroundTruth, annotations: list[dict[str, Any]]) -> COCO:
    coco = COCO()
    dataset: Any = {
        "images": [{"id": number} for number in truth.image_ids.tolist()],
        "categories": [{"id": number, "name": name} for number, name in truth.categories.items()],
        "annotations": annotations,
    }
    coco.dataset = dataset
    coco.createIndex()
    return coco


def _objects(truth: GroundTruth) -> list[dict[str, Any]]:
    """Annotations numbered from 1: COCOeval takes a match with id 0 for none."""
    columns = (column.tolist() for column in truth[2:])
    keys = "image_id", "category_id", "bbox", "area", "iscrowd", "difficult"
    return [
        {"id": number, **dict(zip(keys, entry, strict=True))}
        for number, entry in enumerate(zip(*columns, strict=True), start=1)
    ]


@np.errstate(over="ignore")
def _detections(results: Results) -> list[dict[str, Any]]:
    """What `COCO.loadRes` makes, which fails where there are none."""
    areas = (results.boxes[:, 2] * results.boxes[:, 3]).tolist()
    return [
        {**record, "id": number, "area": area, "iscrowd": 0}
        for number, (record, area) in enumerate(
            zip(records_of(results), areas, strict=True), start=1
        )
    ]
