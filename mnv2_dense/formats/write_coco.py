"""Writes COCO's instances files."""

import json
import re
from pathlib import Path

from mnv2_dense.formats.box_set import BoxSet, Record
from mnv2_dense.formats.written import (
    Splits,
    Written,
    describe_lost,
    describe_renamed,
    finite,
    have_ids,
)
from mnv2_dense.image_files import leaves_folder

_LOST = {
    "difficult": "{} difficult boxes: marked by a key that only this project reads; others count "
    "them as any other box",
}
_NUMBERED = "ids of categories: numbered from 1, as many readers take 0 for background"


def write_coco(splits: Splits, out: Path) -> Written:
    """Writes annotations/instances_SPLIT.json; pictures belong into SPLIT/.

    Ids stay, unless a category has one below 1, which many readers take for background: then
    categories are numbered from 1. What other formats know of a box (difficult, truncated) is
    written as keys of the same name.

    Args:
        splits: The data set.
        out: An existing folder.
    """
    (out / "annotations").mkdir()
    data: dict[str, object] = {}  # the format is the default
    pictures: list[tuple[Path, Path]] = []
    renamed: list[tuple[str, str]] = []
    for split, boxes in splits.items():
        file = f"annotations/instances_{split}.json"
        content = _content(boxes)
        (out / file).write_text(json.dumps(content) + "\n", encoding="utf-8")
        data |= {f"{split}_images": split, f"{split}_annotations": file}
        for before, after in zip(boxes.images, content["images"], strict=True):
            names = before["file_name"], after["file_name"]
            pictures.append((boxes.image_folder / names[0], out / split / names[1]))
            renamed.append(names)
    lost = [
        *describe_lost(splits, _LOST),
        *describe_renamed(renamed, "readers take them for paths"),
    ]
    numbered = have_ids(splits) and any(_first_id(boxes) < 1 for boxes in splits.values())
    return Written(data, pictures, [*lost, *([_NUMBERED] if numbered else [])])


def _content(boxes: BoxSet) -> Record:
    first = _first_id(boxes)
    ids = {
        category.category_id: category.category_id if first > 0 else number
        for number, category in enumerate(boxes.categories, start=1)
    }
    content = boxes.content()
    for category in content["categories"]:
        category["id"] = ids[category["id"]]
    annotations = [
        {**entry, "category_id": ids[entry["category_id"]]}
        for entry in finite(content["annotations"])
    ]
    images = [{**image, "file_name": _name(image["file_name"])} for image in boxes.images]
    return {**content, "images": images, "annotations": annotations}


def _first_id(boxes: BoxSet) -> int:
    return min((category.category_id for category in boxes.categories), default=1)


def _name(file_name: str) -> str:
    """The name, but for what `read_coco` takes for a drive or another system's folders."""
    return re.sub(r"[\\:]", "_", file_name) if leaves_folder(file_name) else file_name
