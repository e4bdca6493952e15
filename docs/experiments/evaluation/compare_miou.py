"""Measures label maps with plain numpy and with torchmetrics, and compares with our metrics.json.

python compare_miou.py MASKS LABEL_MAPS LIST METRICS.json

MASKS holds the reference masks, LABEL_MAPS what tools/predict.py wrote for the pictures of LIST,
METRICS.json is what tools/evaluate.py wrote for the same checkpoint and pictures.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torchmetrics.classification import MulticlassJaccardIndex

VOID = 255


def main() -> None:
    """Prints ours, both others, and the largest differences."""
    masks, label_maps, names, metrics = map(Path, sys.argv[1:])
    ours = json.loads(metrics.read_text())
    classes = len(ours["per_class"])
    hits, unions, truths = (np.zeros(classes, dtype=np.int64) for _ in range(3))
    jaccard = MulticlassJaccardIndex(classes, average="none", ignore_index=VOID)
    void = pixels = 0
    for name in names.read_text().split():
        reference = np.asarray(Image.open(masks / f"{name}.png"))
        predicted = np.asarray(Image.open(label_maps / f"{name}.png"))
        jaccard.update(torch.from_numpy(predicted.copy()), torch.from_numpy(reference.copy()))
        counted = reference != VOID
        void, pixels = void + int((~counted).sum()), pixels + reference.size
        for label in range(classes):
            truth, found = (reference == label) & counted, (predicted == label) & counted
            hits[label] += (truth & found).sum()
            unions[label] += (truth | found).sum()
            truths[label] += truth.sum()
    present = truths > 0
    iou = hits[present] / unions[present]
    mine = np.array([value for value in ours["per_class"].values() if value is not None])
    theirs = jaccard.compute().double().numpy()[present]
    accuracy = hits.sum() / truths.sum()
    weighted = (iou * truths[present]).sum() / truths.sum()
    print(f"{len(names.read_text().split())} pictures, {pixels:,} pixels, {void:,} of them void")
    print(f"mIoU ours {ours['mIoU']:.16f}  numpy {iou.mean():.16f}  {present.sum()} classes")
    print(f"largest difference to numpy: IoU {np.abs(mine - iou).max():.3g}, mIoU "
          f"{abs(ours['mIoU'] - iou.mean()):.3g}, pixel accuracy "
          f"{abs(ours['pixel_accuracy'] - accuracy):.3g}, frequency-weighted IoU "
          f"{abs(ours['frequency_weighted_IoU'] - weighted):.3g}")  # fmt: skip
    print(f"largest difference to torchmetrics (float32): IoU {np.abs(mine - theirs).max():.3g}")


if __name__ == "__main__":
    main()
