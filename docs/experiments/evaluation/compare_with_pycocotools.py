"""Measures a detections.json with plain pycocotools and compares it with our metrics.json.

python compare_with_pycocotools.py ANNOTATIONS.json DETECTIONS.json METRICS.json
"""

import json
import sys
from pathlib import Path

from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

KEYS = ["mAP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl"]


def main() -> None:
    """Prints both columns and the largest difference."""
    annotations, detections, metrics = sys.argv[1:]
    truth = COCO(annotations)
    evaluation = COCOeval(truth, truth.loadRes(detections), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    ours = json.loads(Path(metrics).read_text())
    differences = []
    for key, theirs in zip(KEYS, evaluation.stats.tolist(), strict=True):
        differences.append(abs(ours[key] - theirs))
        print(f"{key:<6} ours {ours[key]:.10f}  pycocotools {theirs:.10f}")
    crowd = sum(annotation["iscrowd"] for annotation in truth.dataset["annotations"])
    print(f"{len(truth.imgs)} images, {len(truth.anns)} annotations, {crowd} of them crowd")
    print(f"largest difference over the twelve numbers: {max(differences):.3g}")


if __name__ == "__main__":
    main()
