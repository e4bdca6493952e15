"""Score, size and latency of exported files: COCO AP of detectors, mIoU of segmenters.

    python docs/experiments/int8/measure.py DATA FILE [FILE ...]

DATA holds coco/ and voc/VOC2012 in their own layouts; a detector is measured on COCO's val2017, a
segmenter on all of VOC's pictures that have masks. Latencies are medians of calls that take turns.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from PIL import Image

import mnv2_dense
from mnv2_dense.detection.scoring import evaluate as evaluate_boxes
from mnv2_dense.images import read_image
from mnv2_dense.ops.confusion import confusion_matrix
from mnv2_dense.prediction.predictor import Predictor
from mnv2_dense.prediction.results import SegmentationResult
from mnv2_dense.segmentation.scoring import evaluate as evaluate_pixels

CALLS = 30


def main() -> None:
    """Prints a line per file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    predictors = [mnv2_dense.load(file, threads=options.threads) for file in options.files]
    scores = [score(predictor, options.data) for predictor in predictors]
    for file, number, milliseconds in zip(
        options.files, scores, latencies(predictors), strict=True
    ):
        files = [file, *([file.with_suffix(".bin")] if file.suffix == ".xml" else [])]
        size = sum(each.stat().st_size for each in files) / 1e6
        print(f"{file.name:<24} score {number:.4f}  {size:6.2f} MB  {milliseconds:7.1f} ms")


def score(predictor: Predictor, data: Path) -> float:
    """AP of a detector, mIoU of a segmenter."""
    if predictor.manifest.task == "detection":
        return score_detector(predictor, data / "coco")
    return score_segmenter(predictor, data / "voc" / "VOC2012")


def score_detector(predictor: Predictor, coco: Path) -> float:
    """AP on val2017."""
    truth = json.loads((coco / "annotations" / "instances_val2017.json").read_text())
    results = []
    for image in truth["images"]:
        picture = read_image(coco / "val2017" / image["file_name"])
        results += predictor.predict(picture, score_threshold=0.0).to_coco(image["id"])
    return evaluate_boxes(truth, results).summary["mAP"]


def score_segmenter(predictor: Predictor, voc: Path) -> float:
    """Mean IoU on all pictures that have masks."""
    classes = len(predictor.manifest.categories)
    matrix = torch.zeros(classes, classes, dtype=torch.int64)
    for mask in sorted((voc / "SegmentationClass").glob("*.png")):
        result = predictor.predict(read_image(voc / "JPEGImages" / f"{mask.stem}.jpg"))
        assert isinstance(result, SegmentationResult)
        truth = torch.from_numpy(np.array(Image.open(mask)))
        matrix += confusion_matrix(torch.from_numpy(result.label_map), truth, classes)
    return evaluate_pixels(matrix.numpy(), predictor.manifest.names).summary["mIoU"]


def latencies(predictors: Sequence[Predictor]) -> list[float]:
    """Median milliseconds of a call of each, from a picture to its result."""
    seconds: list[list[float]] = [[] for _ in predictors]
    pictures = np.random.default_rng(0).integers(0, 256, (CALLS, 375, 500, 3), np.uint8)
    for picture in pictures:
        for predictor, took in zip(predictors, seconds, strict=True):
            start = perf_counter()
            predictor.predict(picture)
            took.append(perf_counter() - start)
    return [1000 * float(np.median(took)) for took in seconds]


if __name__ == "__main__":
    main()
