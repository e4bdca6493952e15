"""Writes COCO files with a box for each connected part of VOC's class masks.

python docs/experiments/anchors/boxes_of_masks.py VOC2012_FOLDER OUT_FOLDER

A class mask does not separate touching objects of one class, and an object behind another may
lie in several parts: these are boxes of parts, not VOC's own boxes of objects.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

VOID = 255
MIN_AREA = 64
"""Parts of fewer pixels are specks."""
CLASSES = 20


def boxes_of(mask: np.ndarray) -> list[tuple[int, list[int]]]:
    """Class and xywh box of every part of a class mask [H, W]."""
    found = []
    for label in np.setdiff1d(np.unique(mask), [0, VOID]).tolist():
        _, _, parts, _ = cv2.connectedComponentsWithStats((mask == label).astype(np.uint8))
        found += [(label, part[:4].tolist()) for part in parts[1:] if part[4] >= MIN_AREA]
    return found


def instances(root: Path, split: str) -> dict[str, Any]:
    """COCO's content for one of VOC's lists."""
    names = (root / "ImageSets" / "Segmentation" / f"{split}.txt").read_text().split()
    images, annotations = [], []
    for number, name in enumerate(names, start=1):
        mask = np.asarray(Image.open(root / "SegmentationClass" / f"{name}.png"))
        height, width = mask.shape
        images.append({"id": number, "file_name": f"{name}.jpg", "width": width, "height": height})
        for label, box in boxes_of(mask):
            annotation = {"id": len(annotations) + 1, "image_id": number, "category_id": label}
            annotations.append({**annotation, "bbox": box, "area": box[2] * box[3], "iscrowd": 0})
    categories = [{"id": label, "name": f"class {label}"} for label in range(1, CLASSES + 1)]
    return {"images": images, "annotations": annotations, "categories": categories}


def main() -> None:
    """Reads the command line and writes `train.json` and `val.json`."""
    parser = argparse.ArgumentParser(description="Boxes of the parts of VOC's class masks.")
    parser.add_argument("root", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for split in ("train", "val"):
        content = instances(options.root, split)
        (options.out / f"{split}.json").write_text(json.dumps(content))
        print(f"{split}: {len(content['images'])} images, {len(content['annotations'])} boxes")


if __name__ == "__main__":
    main()
