"""COCO's instances files of a cache: the scaled one, and the original beside it."""

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from mnv2_dense.caching.table import Entry
from mnv2_dense.formats.box_set import BoxSet, Record
from mnv2_dense.structures import ImageSize
from mnv2_dense.training.durable import replace_durably

_LEFT_OUT = ("place", "segmentation")
"""Of annotations: a detector needs no outlines, and ids stand for places."""
_PART = 10_000
"""Annotations that are turned to text at a time."""


def write_annotations(file: Path, boxes: BoxSet, entries: Mapping[int, Entry], folder: str) -> None:
    """Writes images and boxes in pixels of the cached pictures.

    Boxes and areas are multiplied by the exact ratios of the sides, in float64, and not rounded.
    Annotations that are not finite are left out, as in training.

    Args:
        file: Where it goes; its folder is made.
        boxes: The original set.
        entries: By image id, the pictures of the cache; other images are left out.
        folder: Of the pictures, below the cache's.
    """
    _write(file, boxes, entries, folder, {key: each.cached for key, each in entries.items()})


def write_original(file: Path, boxes: BoxSet, entries: Mapping[int, Entry], folder: str) -> None:
    """Writes the same in pixels of the original pictures: what is measured against."""
    _write(file, boxes, entries, folder, {key: each.size for key, each in entries.items()})


def _write(
    file: Path,
    boxes: BoxSet,
    entries: Mapping[int, Entry],
    folder: str,
    sizes: Mapping[int, ImageSize],
) -> None:
    images = [
        {
            "id": image["id"],
            "file_name": entries[image["id"]].picture.removeprefix(f"{folder}/"),
            "width": sizes[image["id"]].width,
            "height": sizes[image["id"]].height,
        }
        for image in boxes.images
        if image["id"] in entries
    ]
    ratios = {
        key: (sizes[key].width / entry.size.width, sizes[key].height / entry.size.height)
        for key, entry in entries.items()
    }
    categories = [{"id": number, "name": name} for number, name in boxes.categories]
    file.parent.mkdir(parents=True, exist_ok=True)
    start = f'{{"images": {json.dumps(images)}, "categories": {json.dumps(categories)}, '

    def write(stream: BinaryIO) -> None:
        stream.write(f'{start}"annotations": ['.encode())
        for text in _texts(boxes, ratios):
            stream.write(text.encode())
        stream.write(b"]}\n")

    replace_durably(file, write)


def _texts(boxes: BoxSet, ratios: Mapping[int, tuple[float, float]]) -> Iterator[str]:
    """The annotations as JSON, some at a time: they may be millions."""
    separator = ""
    for start in range(0, len(boxes.annotations), _PART):
        for number, entry in enumerate(boxes.annotations[start : start + _PART], start + 1):
            if entry["image_id"] in ratios and all(map(math.isfinite, entry["bbox"])):
                scaled = scale_annotation({"id": number, **entry}, *ratios[entry["image_id"]])
                yield f"{separator}{json.dumps(scaled)}"
                separator = ",\n"


def scale_annotation(entry: Record, across: float, down: float) -> Record:
    """An annotation in pixels of a scaled picture, without its outline.

    Args:
        entry: In pixels of the original.
        across: Width of the copy by that of the original.
        down: The same of the heights.
    """
    x, y, width, height = entry["bbox"]
    scaled = {key: value for key, value in entry.items() if key not in _LEFT_OUT}
    scaled["bbox"] = [x * across, y * down, width * across, height * down]
    return scaled if "area" not in entry else {**scaled, "area": entry["area"] * (across * down)}
