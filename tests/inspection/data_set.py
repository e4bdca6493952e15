"""A small clean data set with boxes and masks, to be spoilt."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mnv2_dense.config.loader import parse_config
from mnv2_dense.config.schema import DetectionConfig, SegmentationConfig
from mnv2_dense.drawing import encode_label_map

Json = dict[str, Any]
WIDTH, HEIGHT = 64, 48
NUMBERS = {"train": (1, 2, 3, 4), "val": (5, 6)}
BOX = (12.0, 9.0, 40.0, 30.0)
ORIENTATION = 0x0112


class DataSet:
    """Pictures, boxes and masks of four training and two validation pictures, to be spoilt."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for split, numbers in NUMBERS.items():
            (root / "masks" / split).mkdir(parents=True)
            (root / split).mkdir()
            for number in numbers:
                save_picture(self.picture(number), number)
                save_mask(self.mask(number), clean_values())
            content = {
                "images": [image_record(number) for number in numbers],
                "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
                "annotations": [record for number in numbers for record in box_records(number)],
            }
            self.write(split, content)

    def picture(self, number: int) -> Path:
        return self.root / split_of(number) / f"{number}.jpg"

    def mask(self, number: int) -> Path:
        return self.root / "masks" / split_of(number) / f"{number}.png"

    def read(self, split: str) -> Json:
        return json.loads((self.root / f"{split}.json").read_text())

    def write(self, split: str, content: object) -> None:
        (self.root / f"{split}.json").write_text(json.dumps(content))

    def edit(self, change: Callable[[Json], object], split: str = "train") -> None:
        content = self.read(split)
        change(content)
        self.write(split, content)

    def set_box(self, *bbox: float, **keys: object) -> None:
        """Changes the first box of picture 1, annotation 10."""
        self.edit(lambda content: content["annotations"][0].update(bbox=list(bbox or BOX), **keys))

    def detection(self, **data: object) -> DetectionConfig:
        config = parse_config({**DETECTION, "data": {**detection_data(self.root), **data}})
        assert isinstance(config, DetectionConfig)
        return config

    def segmentation(self, **data: object) -> SegmentationConfig:
        config = parse_config({**SEGMENTATION, "data": {**segmentation_data(self.root), **data}})
        assert isinstance(config, SegmentationConfig)
        return config


DETECTION: Json = {
    "task": "detection",
    "name": "tiny",
    "backbone": {"width_mult": 0.35},
    "head": {"width_mult": 0.1},
    "input": {"height": 64, "width": 64},
}
SEGMENTATION: Json = {"task": "segmentation", "name": "tiny"}


def detection_data(root: Path) -> Json:
    return {
        "root": str(root),
        "train_images": "train",
        "train_annotations": "train.json",
        "val_images": "val",
        "val_annotations": "val.json",
    }


def segmentation_data(root: Path) -> Json:
    return {
        "format": "folders",
        "root": str(root),
        "train_images": "train",
        "train_masks": "masks/train",
        "val_images": "val",
        "val_masks": "masks/val",
        "classes": ["background", "cat", "dog"],
    }


def split_of(number: int) -> str:
    return "train" if number in NUMBERS["train"] else "val"


def image_record(number: int) -> Json:
    return {"id": number, "file_name": f"{number}.jpg", "width": WIDTH, "height": HEIGHT}


def box_records(number: int) -> list[Json]:
    """Annotations 10 and 11 of picture 1, a cat and a dog."""
    bases = {"image_id": number, "bbox": list(BOX), "iscrowd": 0}
    return [{**bases, "id": 10 * number + c - 1, "category_id": c} for c in (1, 2)]


def pixels(number: int) -> np.ndarray:
    noise = np.random.default_rng(number).integers(0, 256, (HEIGHT // 8, WIDTH // 8, 3), np.uint8)
    return noise.repeat(8, axis=0).repeat(8, axis=1)


def save_picture(path: Path, number: int, **options: Any) -> None:
    Image.fromarray(pixels(number)).save(path, **options)


def clean_values() -> np.ndarray:
    values = np.zeros((HEIGHT, WIDTH), np.uint8)
    values[:20], values[30:, 10:], values[25] = 1, 2, 255
    return values


def save_mask(path: Path, values: np.ndarray) -> None:
    encode_label_map(values).save(path)
