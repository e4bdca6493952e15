"""Draws the scores of README.md's runs over their epochs.

python docs/experiments/finetune/plot.py OUT/runs --out docs/experiments/finetune/curves.svg
"""

import argparse
import csv
from pathlib import Path

import matplotlib.pyplot as plt

PANELS = {
    "DeepLabv3, 100 VOC pictures: mIoU of 40": (
        "val/mIoU",
        {
            "voc_voc_frozen": "imported VOC weights, norms frozen",
            "voc_voc": "imported VOC weights",
            "voc_imagenet": "imported ImageNet backbone",
            "voc_scratch": "random",
        },
    ),
    "SSDLite, 343 COCO pictures: mAP of 206": (
        "val/mAP",
        {"coco_coco": "imported COCO weights", "coco_scratch": "random"},
    ),
}


def read_curve(run: Path, score: str) -> tuple[list[int], list[float]]:
    """Epochs done, and the score after them."""
    with (run / "metrics.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row.get(score)]
    return [int(row["epoch"]) + 1 for row in rows], [float(row[score]) for row in rows]


def main() -> None:
    """Reads the command line and writes the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    figure, axes = plt.subplots(1, 2, figsize=(11, 4))
    for axis, (title, (score, names)) in zip(axes, PANELS.items(), strict=True):
        for name, label in names.items():
            for run in sorted((options.runs / name).glob("*"))[-1:]:
                axis.plot(*read_curve(run, score), marker="o", label=label)
        axis.set(title=title, xlabel="epochs", ylim=(0, None))
        axis.legend()
    figure.tight_layout()
    figure.savefig(options.out)


if __name__ == "__main__":
    main()
