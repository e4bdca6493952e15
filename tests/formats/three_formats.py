"""The same boxes in three formats, on disk."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

Box = tuple[str, float, float, float, float]
"""Class, left, top, width, height."""

WIDTH, HEIGHT = 40, 20
NAMES = ("cat", "dog")
BOXES: dict[str, list[Box]] = {
    "a": [("dog", 0, 0, 40, 20), ("cat", 10, 5, 20, 10)],
    "b": [],
    "c": [("cat", 4.5, 2.5, 8, 4)],
}


def draw(folder: Path, keys: Sequence[str], end: str = ".png") -> None:
    """Pictures of the keys."""
    folder.mkdir(parents=True, exist_ok=True)
    for key in keys:
        Image.new("RGB", (WIDTH, HEIGHT)).save(folder / f"{key}{end}")


def write_coco(root: Path, boxes: Mapping[str, Sequence[Box]] = BOXES) -> None:
    """annotations.json and images/."""
    draw(root / "images", list(boxes))
    sides = {"width": WIDTH, "height": HEIGHT}
    images = [{"id": i, "file_name": f"{key}.png", **sides} for i, key in enumerate(boxes)]
    annotations: list[dict[str, Any]] = []
    for image_id, listed in enumerate(boxes.values()):
        for name, *bbox in listed:
            ids = {"id": len(annotations), "image_id": image_id, "iscrowd": 0}
            annotations.append({**ids, "category_id": NAMES.index(name), "bbox": bbox})
    categories = [{"id": number, "name": name} for number, name in enumerate(NAMES)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (root / "annotations.json").write_text(json.dumps(content))


def voc_object(box: Box, *more: str) -> str:
    """An <object> with more elements in it."""
    name, x, y, width, height = box
    corners = {"xmin": x + 1, "ymin": y + 1, "xmax": x + width, "ymax": y + height}
    edges = "".join(f"<{key}>{value}</{key}>" for key, value in corners.items())
    return f"<object><name>{name}</name><bndbox>{edges}</bndbox>{''.join(more)}</object>"


def voc_xml(key: str, *objects: str, size: tuple[int, int] = (WIDTH, HEIGHT)) -> str:
    """A file's text."""
    sides = f"<size><width>{size[0]}</width><height>{size[1]}</height><depth>3</depth></size>"
    return f"<annotation><filename>{key}.png</filename>{sides}{''.join(objects)}</annotation>"


def write_voc(root: Path, boxes: Mapping[str, Sequence[Box]] = BOXES) -> None:
    """Annotations/ and JPEGImages/."""
    draw(root / "JPEGImages", list(boxes))
    (root / "Annotations").mkdir()
    for key, listed in boxes.items():
        text = voc_xml(key, *map(voc_object, listed))
        (root / "Annotations" / f"{key}.xml").write_text(text)


def yolo_line(box: Box, width: float = WIDTH, height: float = HEIGHT) -> str:
    """A line of a label file."""
    name, x, y, w, h = box
    values = ((x + w / 2) / width, (y + h / 2) / height, w / width, h / height)
    return f"{NAMES.index(name)} {' '.join(f'{value:.12g}' for value in values)}\n"


def write_yolo(root: Path, boxes: Mapping[str, Sequence[Box]] = BOXES) -> None:
    """data.yaml, images/train/ and labels/train/; negatives have no label file."""
    draw(root / "images" / "train", list(boxes))
    (root / "labels" / "train").mkdir(parents=True)
    for key, listed in boxes.items():
        if listed:
            text = "".join(map(yolo_line, listed))
            (root / "labels" / "train" / f"{key}.txt").write_text(text)
    (root / "data.yaml").write_text("train: images/train\nnc: 2\nnames: [cat, dog]\n")
