"""Writes COCO's instances files."""

import json
from pathlib import Path

from mnv2_dense.formats.box_set import BoxSet, Record
from mnv2_dense.formats.written import Splits, Written, describe_lost, finite


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
    for split, boxes in splits.items():
        file = f"annotations/instances_{split}.json"
        (out / file).write_text(json.dumps(_content(boxes)) + "\n", encoding="utf-8")
        data |= {f"{split}_images": split, f"{split}_annotations": file}
        names = [image["file_name"] for image in boxes.images]
        pictures += [(boxes.image_folder / name, out / split / name) for name in names]
    return Written(data, pictures, describe_lost(splits, {}))


def _content(boxes: BoxSet) -> Record:
    first = min((category.category_id for category in boxes.categories), default=1)
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
    return {**content, "annotations": annotations}
