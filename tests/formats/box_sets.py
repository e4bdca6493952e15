"""Small sets of boxes in memory for the tests of writers."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from mnv2_dense.formats.box_set import BoxSet, Record
from mnv2_dense.formats.written import Written
from mnv2_dense.structures import Category

WIDTH, HEIGHT = 40, 30
CLASSES = {5: "cat", 9: "dog"}


def annotation(number: int, image_id: int, category_id: int, *bbox: float, **more: Any) -> Record:
    fields = {"id": number, "image_id": image_id, "category_id": category_id, "bbox": list(bbox)}
    return {**fields, "iscrowd": 0, **more}


def box_set(
    folder: Path,
    *annotations: Record,
    names: Mapping[int, str] = {1: "a.png", 2: "b.png"},
    classes: Mapping[int, str] = CLASSES,
) -> BoxSet:
    """A set whose pictures are drawn into a folder."""
    for name in names.values():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (WIDTH, HEIGHT)).save(folder / name)
    size = {"width": WIDTH, "height": HEIGHT}
    images = [{"id": number, "file_name": name, **size} for number, name in names.items()]
    categories = tuple(Category(number, name) for number, name in classes.items())
    return BoxSet(folder / "set", folder, images, categories, list(annotations))


def fill_pictures(written: Written) -> None:
    """Puts the pictures where a writer wants them."""
    for picture, place in written.pictures:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(picture.read_bytes())
