"""Programs that compute COCO's twelve numbers, each from records in memory and from files."""

import contextlib
import io
import json
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from mnv2_dense.coco_evaluation import evaluate, evaluate_files

Records = list[dict[str, Any]]
OURS, PYCOCOTOOLS = "ours", "pycocotools"
FASTER, TORCHMETRICS = "faster-coco-eval", "torchmetrics with faster-coco-eval"


class Program(NamedTuple):
    """How a program is called; it gives the twelve numbers.

    Attributes:
        evaluate: On an instances file's content and results; peers write into them.
        evaluate_files: On the files of both; None where the program has no such call.
        package: What has to be installed.
    """

    evaluate: Callable[[dict[str, Any], Records], list[float]]
    evaluate_files: Callable[[Path, Path], list[float]] | None
    package: str


def _ours(truth: dict[str, Any], results: Records) -> list[float]:
    return list(evaluate(truth, results).summary.values())


def _our_files(truth: Path, results: Path) -> list[float]:
    return list(evaluate_files(truth, results).summary.values())


def _pycocotools(truth: dict[str, Any], results: Records) -> list[float]:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    content: Any = truth
    found: Any = results
    with contextlib.redirect_stdout(io.StringIO()):
        known = COCO()
        known.dataset = content
        known.createIndex()
        return _run(COCOeval(known, known.loadRes(found), "bbox"))


def _pycocotools_files(truth: Path, results: Path) -> list[float]:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        known = COCO(str(truth))
        return _run(COCOeval(known, known.loadRes(str(results)), "bbox"))


def _faster(truth: dict[str, Any], results: Records) -> list[float]:
    peer = import_module("faster_coco_eval")  # It need not be installed.
    with contextlib.redirect_stdout(io.StringIO()):
        known = peer.COCO(truth)
        return _run(peer.COCOeval_faster(known, known.loadRes(results), "bbox"))


def _faster_files(truth: Path, results: Path) -> list[float]:
    return _faster(json.loads(truth.read_bytes()), json.loads(results.read_bytes()))


def _run(evaluator: Any) -> list[float]:
    evaluator.evaluate()
    evaluator.accumulate()
    evaluator.summarize()
    return [float(number) for number in evaluator.stats[:12]]


def _torchmetrics(truth: dict[str, Any], results: Records) -> list[float]:
    from torchmetrics.detection import MeanAveragePrecision

    metric = MeanAveragePrecision(box_format="xywh", backend="faster_coco_eval")
    metric.warn_on_many_detections = False
    objects, found = (_by_image(records) for records in (truth["annotations"], results))
    images = [image["id"] for image in truth["images"]]
    keys = {"iscrowd": "iscrowd", "area": "area"}
    metric.update(
        [_tensors(found.get(image, []), {"scores": "score"}) for image in images],
        [_tensors(objects.get(image, []), keys) for image in images],
    )
    computed = metric.compute()
    return [computed[key].item() for key in _TORCHMETRICS_KEYS]


_TORCHMETRICS_KEYS = (
    *("map", "map_50", "map_75", "map_small", "map_medium", "map_large"),
    *("mar_1", "mar_10", "mar_100", "mar_small", "mar_medium", "mar_large"),
)


def _by_image(records: Records) -> dict[int, Records]:
    images: dict[int, Records] = {}
    for record in records:
        images.setdefault(record["image_id"], []).append(record)
    return images


def _tensors(records: Records, keys: Mapping[str, str]) -> dict[str, Any]:
    import torch

    return {
        "boxes": torch.tensor([record["bbox"] for record in records]).reshape(-1, 4),
        "labels": torch.tensor([record["category_id"] for record in records], dtype=torch.int64),
        **{name: torch.tensor([record[key] for record in records]) for name, key in keys.items()},
    }


PROGRAMS = {
    OURS: Program(_ours, _our_files, "numpy"),
    PYCOCOTOOLS: Program(_pycocotools, _pycocotools_files, "pycocotools"),
    FASTER: Program(_faster, _faster_files, "faster_coco_eval"),
    TORCHMETRICS: Program(_torchmetrics, None, "faster_coco_eval"),
}


def installed() -> dict[str, Program]:
    """The programs that can be run here."""
    return {name: each for name, each in PROGRAMS.items() if find_spec(each.package) is not None}
