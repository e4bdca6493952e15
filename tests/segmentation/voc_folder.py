"""A small data set in VOC's layout for the tests of data."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mnv2_dense.segmentation.folders import read_folders
from mnv2_dense.segmentation.index import SegmentationIndex
from mnv2_dense.segmentation.masks import MaskRule
from mnv2_dense.structures import Category

WIDTH, HEIGHT = 40, 30
NAMES = ("background", "cat", "dog")
CATEGORIES = tuple(Category(label, name) for label, name in enumerate(NAMES))
KEYS = ("2007_000032", "2007_000039", "2011_003271")
PALETTE = [0, 0, 0, 128, 0, 0, 0, 128, 0, *[224, 224, 192] * 253]


def save_palette(path: Path, labels: np.ndarray) -> None:
    """Writes a mask as VOC does: a palette PNG whose colours say nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(labels)
    image.putpalette(PALETTE)
    image.save(path)


class Folder:
    """A data set on disk that a test may damage before it is read."""

    def __init__(self, root: Path, keys: Sequence[str] = KEYS) -> None:
        self.images = root / "JPEGImages"
        self.masks = root / "SegmentationClass"
        self.list = root / "ImageSets" / "Segmentation" / "train.txt"
        self.list.parent.mkdir(parents=True)
        self.list.write_text("".join(f"{key}\n" for key in keys))
        for number, key in enumerate(keys):
            self.add(key, number)

    def add(self, key: str, number: int = 0) -> None:
        """Writes a picture of one gray value and a mask with a strip of class 1 and of void."""
        (self.images / key).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (WIDTH, HEIGHT), (50 * number,) * 3).save(self.images / f"{key}.jpg")
        labels = np.zeros((HEIGHT, WIDTH), np.uint8)
        labels[:, number : number + 3] = 1
        labels[0] = 255
        save_palette(self.masks / f"{key}.png", labels)

    def read(self, **changes: Any) -> SegmentationIndex:
        """The index, read with VOC's settings but for the changes."""
        settings: dict[str, Any] = {
            "images": self.images,
            "masks": self.masks,
            "list_file": self.list,
            "categories": CATEGORIES,
            "rule": MaskRule(len(NAMES)),
        }
        return read_folders(**settings | changes)
