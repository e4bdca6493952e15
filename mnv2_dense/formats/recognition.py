"""What data set lies in a folder, and the data section of a config that reads it."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mnv2_dense.errors import UserError
from mnv2_dense.formats.box_layouts import find_coco, find_voc, find_yolo
from mnv2_dense.formats.layout_parts import Section
from mnv2_dense.formats.mask_layouts import (
    find_camvid,
    find_cityscapes,
    find_folders,
    find_roboflow,
    find_voc_masks,
)
from mnv2_dense.formats.near_misses import near_misses

VAL_SHARE = 0.2
"""Drawn for validation where a data set has no split of its own."""

Finders = Mapping[str, Callable[[Path], Section | None]]

_BOXES: Finders = {
    "COCO (a *.json with images, annotations and categories, and folders of its pictures)": (
        find_coco
    ),
    "VOC (Annotations/*.xml with JPEGImages/ or images/, or *.xml beside pictures)": find_voc,
    "YOLO (a data.yaml with names, obj.data, or classes.txt beside images/ and labels/)": find_yolo,
}
_MASKS: Finders = {
    "VOC (JPEGImages/ and SegmentationClass/)": find_voc_masks,
    "Cityscapes (leftImg8bit/ and gtFine/)": find_cityscapes,
    "CamVid (train/ and train_labels/*_L.png)": find_camvid,
    "Roboflow (train/*.jpg with *_mask.png beside them)": find_roboflow,
    "folders of pictures and masks (images/ and masks/ or labels/ with a .png for every picture, "
    "each with or without train/ and val/; or train/ and trainannot/)": find_folders,
}
_COCO = next(iter(_BOXES))
_DEFAULTS = {"detection": "coco", "segmentation": "voc"}
"""Formats that a data section has without the key."""


def recognise(folder: Path, task: str | None = None) -> dict[str, Any]:
    """The task, and the keys of the data section, that a folder's data set asks for.

    Keys are left out where the task's defaults, or the places of the format, say the same. Without
    a split of its own, a set gets `val_share`.

    Args:
        folder: The data set's.
        task: `detection` or `segmentation`; None prefers boxes where there are both.

    Returns:
        `task`, and `data` with `format`, `root`, `train_images` and so on.

    Raises:
        UserError: There is no data set of a known format, or there are several.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder")
    kinds: dict[str, Finders] = {
        "detection": _BOXES,
        "segmentation": _MASKS if task is None else {**_MASKS, _COCO: _BOXES[_COCO]},
    }
    looked: dict[str, None] = {}
    for kind in kinds if task is None else (task,):
        found = {title: find(folder) for title, find in kinds[kind].items()}
        sections = {title: section for title, section in found.items() if section is not None}
        if len(sections) > 1:
            listed = "; ".join(sections)
            raise UserError(
                f"{folder}: could be several data sets: {listed}. Write a config that says which "
                "(data.format)"
            )
        for section in sections.values():
            return {"task": kind, "data": _data(folder, kind, section)}
        looked.update(dict.fromkeys(found))
    raise UserError(
        f"{folder}: no data set of a known format in this folder; looked for "
        f"{'; '.join(looked)}. {near_misses(folder)}Give the data set's own folder, or "
        "write a config with its paths"
    )


def _data(folder: Path, task: str, section: Section) -> dict[str, Any]:
    share = {} if section.has_val else {"val_share": VAL_SHARE}
    form = {} if section.format == _DEFAULTS[task] else {"format": section.format}
    return {**form, "root": str(folder), **section.keys, **share}
