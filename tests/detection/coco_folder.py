"""A small data set in COCO's layout for the tests of data."""

import json
from pathlib import Path
from typing import Any

from PIL import Image

from mnv2_dense.detection.index import DetectionIndex
from mnv2_dense.detection.targets import build_index
from mnv2_dense.formats.coco import read_coco

Json = dict[str, Any]
WIDTH, HEIGHT = 40, 30


def annotation(annotation_id: int, image_id: int, category_id: int, *bbox: float) -> Json:
    return {
        "id": annotation_id,
        "image_id": image_id,
        "category_id": category_id,
        "bbox": list(bbox),
        "iscrowd": 0,
    }


def content() -> Json:
    """Three pictures out of order, the last without boxes, and categories with gaps."""
    images = [
        {"id": number, "file_name": f"{number}.png", "width": WIDTH, "height": HEIGHT}
        for number in (70, 5, 900)
    ]
    return {
        "images": images,
        "categories": [{"id": 90, "name": "toothbrush"}, {"id": 1, "name": "person"}],
        "annotations": [
            annotation(11, 70, 90, 1, 2, 10, 5),
            annotation(0, 5, 1, 0, 0, 40, 30),
            annotation(12, 70, 1, 20.5, 4.25, 8, 8),
            {**annotation(13, 70, 1, 0, 0, 30, 30), "iscrowd": 1},
        ],
    }


class Folder:
    """A data set on disk that a test may damage before it is read."""

    def __init__(self, root: Path) -> None:
        self.file = root / "instances.json"
        self.images = root / "images"
        self.images.mkdir()
        for number in (5, 70, 900):
            Image.new("RGB", (WIDTH, HEIGHT), (number % 256, 0, 0)).save(
                self.images / f"{number}.png"
            )

    def read(self, data: object) -> DetectionIndex:
        self.file.write_text(json.dumps(data))
        return build_index(read_coco(self.file, self.images))
