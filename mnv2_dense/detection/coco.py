"""Reads COCO's instances files."""

import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mnv2_dense.detection.index import MIN_BOX_SIDE, BoxReport, DetectionIndex
from mnv2_dense.errors import UserError
from mnv2_dense.images import leaves_folder, missing_files
from mnv2_dense.ops.texts import LISTED, SharedTexts, list_first
from mnv2_dense.structures import Category

HOW_TO_GET_COCO = (
    "To get COCO, download train2017.zip, val2017.zip and annotations_trainval2017.zip from "
    "images.cocodataset.org and unpack them into one folder (data.root), so that it holds "
    "train2017/, val2017/ and annotations/instances_train2017.json, "
    "annotations/instances_val2017.json"
)
ROUNDING = 0.01
"""COCO rounds to hundredths of a pixel: a box that sticks out by less does not count as clipped."""


def read_coco(annotation_file: Path, image_folder: Path) -> DetectionIndex:
    """The images and boxes of a COCO instances file.

    Boxes: xywh become xyxy. A box that is not finite, or whose width or height is zero or
    negative, is dropped; the others are clipped to their image, and dropped if that leaves less
    than a pixel on a side. `DetectionIndex.box_report` counts both. Crowds (iscrowd 1) are left out
    before. Images without boxes stay: they train as negatives.

    Args:
        annotation_file: instances_*.json.
        image_folder: Folder of the pictures that `file_name` refers to; all must be there.

    Raises:
        UserError: A file or picture is missing, or the file is not a consistent COCO instances
            file.
    """
    _check_present(annotation_file, image_folder)
    content = _load(annotation_file)
    images = sorted(_read_images(content, annotation_file), key=lambda image: image["id"])
    categories = _read_categories(content, annotation_file)
    annotations = _read_annotations(content, annotation_file)
    _check_references(annotations, images, categories, annotation_file)
    _check_pictures(images, image_folder, annotation_file)
    sizes = np.array([(image["height"], image["width"]) for image in images], dtype=np.int64)
    targets = _build_targets(annotations, images, sizes, categories, str(annotation_file))
    return DetectionIndex(
        image_folder,
        categories,
        image_ids=torch.tensor([image["id"] for image in images]),
        sizes=torch.from_numpy(sizes),
        file_names=SharedTexts([image["file_name"] for image in images]),
        **targets,
    )


def _check_present(annotation_file: Path, image_folder: Path) -> None:
    missing = []
    if not annotation_file.is_file():
        missing.append(f"annotation file {annotation_file}")
    if not image_folder.is_dir():
        missing.append(f"image folder {image_folder}")
    if missing:
        raise UserError(f"not found: {' and '.join(missing)}. {HOW_TO_GET_COCO}")


def _load(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_bytes())
    except json.JSONDecodeError as error:
        place = f"line {error.lineno} column {error.colno}"
        raise UserError(
            f"{file}: not complete JSON, perhaps cut short ({error.msg}, {place})"
        ) from error
    except (ValueError, RecursionError, OSError) as error:
        raise UserError(f"{file}: cannot be read as JSON ({error})") from error
    if not isinstance(content, dict):
        raise UserError(f"{file}: not a COCO instances file (the JSON is no object)")
    return content


def _section(content: dict[str, Any], key: str, file: Path) -> list[dict[str, Any]]:
    """One list of the file, its entries checked to be objects with distinct ids."""
    if key not in content:
        raise UserError(
            f"{file}: not a COCO instances file (no key '{key}'; it needs images, annotations "
            "and categories)"
        )
    entries = content[key]
    if not isinstance(entries, list):
        raise UserError(f"{file}: '{key}' is no list")
    if not entries:
        raise UserError(f"{file}: empty annotation file ('{key}' has no entries)")
    bad = [place for place, entry in enumerate(entries) if not _has_id(entry)]
    _refuse(bad, f"{file}: '{key}' has entries without a whole-number id, at positions")
    _refuse(_duplicates(entry["id"] for entry in entries), f"{file}: duplicate ids in '{key}':")
    return entries


def _read_images(content: dict[str, Any], file: Path) -> list[dict[str, Any]]:
    images = _section(content, "images", file)
    bad = [image["id"] for image in images if not _is_image(image)]
    _refuse(bad, f"{file}: no file_name, or no whole width and height of 1 or more, for image ids")
    bad = [image["id"] for image in images if leaves_folder(image["file_name"])]
    _refuse(bad, f"{file}: file_name leaves the image folder (absolute or '..') for image ids")
    return images


def _read_categories(content: dict[str, Any], file: Path) -> tuple[Category, ...]:
    entries = _section(content, "categories", file)
    bad = [entry["id"] for entry in entries if not isinstance(entry.get("name"), str)]
    _refuse(bad, f"{file}: no name for category ids")
    return tuple(sorted(Category(entry["id"], entry["name"]) for entry in entries))


def _read_annotations(content: dict[str, Any], file: Path) -> list[dict[str, Any]]:
    annotations = _section(content, "annotations", file)
    bad = [entry["id"] for entry in annotations if not _is_box(entry.get("bbox"))]
    _refuse(bad, f"{file}: bbox is not four numbers (x, y, width, height) for annotation ids")
    bad = [entry["id"] for entry in annotations if entry.get("iscrowd", 0) not in (0, 1)]
    _refuse(bad, f"{file}: iscrowd is neither 0 nor 1 for annotation ids")
    bad = [entry["id"] for entry in annotations if not _is_area(entry.get("area", 0))]
    _refuse(bad, f"{file}: area is no number of 0 or more for annotation ids")
    return annotations


def _check_references(
    annotations: list[dict[str, Any]],
    images: list[dict[str, Any]],
    categories: tuple[Category, ...],
    file: Path,
) -> None:
    image_ids = {image["id"] for image in images}
    category_ids = {category.category_id for category in categories}
    for key, known in (("image_id", image_ids), ("category_id", category_ids)):
        bad = [
            f"{entry['id']} ({key} {entry.get(key)!r})"
            for entry in annotations
            if not _is_whole(entry.get(key)) or entry[key] not in known
        ]
        _refuse(bad, f"{file}: {key} is missing from the file for annotation ids")


def _check_pictures(images: list[dict[str, Any]], folder: Path, file: Path) -> None:
    bad = missing_files(folder, [image["file_name"] for image in images])
    _refuse(bad, f"{folder}: pictures named in {file} are missing:", f". {HOW_TO_GET_COCO}")


def _build_targets(
    annotations: list[dict[str, Any]],
    images: list[dict[str, Any]],
    sizes: np.ndarray,
    categories: tuple[Category, ...],
    file: str,
) -> dict[str, Any]:
    """Boxes, labels, offsets and the report, grouped by image."""
    rows = {image["id"]: row for row, image in enumerate(images)}
    label_of = {category.category_id: label for label, category in enumerate(categories)}
    single = [entry for entry in annotations if not entry.get("iscrowd")]
    ids = np.array([entry["id"] for entry in single], dtype=np.int64)
    row = np.array([rows[entry["image_id"]] for entry in single], dtype=np.int64)
    labels = np.array([label_of[entry["category_id"]] for entry in single], dtype=np.int64)
    xywh = np.array([entry["bbox"] for entry in single], dtype=np.float64).reshape(-1, 4)
    boxes, kept, clipped = _apply_box_rule(xywh, sizes[row])
    order = np.flatnonzero(kept)[np.argsort(row[kept], kind="stable")]
    return {
        "boxes": torch.from_numpy(boxes[order].astype(np.float32)),
        "labels": torch.from_numpy(labels[order]),
        "box_offsets": _offsets(np.bincount(row[kept], minlength=len(images))),
        "box_report": _report(file, ids[clipped], ids[~kept]),
    }


def _apply_box_rule(
    xywh: np.ndarray, sizes: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Clipped xyxy boxes, which of them are kept, and which of those were clipped."""
    sound = np.asarray((np.isfinite(xywh) & (xywh > [-np.inf, -np.inf, 0, 0])).all(axis=1))
    xyxy = np.where(sound[:, None], xywh, 0.0)
    with np.errstate(over="ignore"):
        xyxy[:, 2:] += xyxy[:, :2]
    limits = sizes[:, [1, 0, 1, 0]]
    boxes = np.clip(xyxy, 0, limits)
    kept = sound & (boxes[:, 2:] - boxes[:, :2] >= MIN_BOX_SIDE).all(axis=1)
    clipped = kept & (np.abs(boxes - xyxy) > ROUNDING).any(axis=1)
    return boxes, np.asarray(kept), np.asarray(clipped)


def _report(file: str, clipped: np.ndarray, dropped: np.ndarray) -> BoxReport:
    return BoxReport(
        annotation_file=file,
        clipped=len(clipped),
        dropped=len(dropped),
        first_clipped=tuple(clipped[:LISTED].tolist()),
        first_dropped=tuple(dropped[:LISTED].tolist()),
    )


def _offsets(counts: np.ndarray) -> Tensor:
    return torch.from_numpy(np.concatenate([[0], np.cumsum(counts)]).astype(np.int64))


def _is_whole(value: object, least: int = -(2**63)) -> bool:
    """Whether it is a whole number that fits 64 bits; JSON's true and false are not."""
    return type(value) is int and least <= value < 2**63


def _has_id(entry: object) -> bool:
    return isinstance(entry, dict) and _is_whole(entry.get("id"))


def _is_image(image: dict[str, Any]) -> bool:
    name = image.get("file_name")
    sides = [image.get("width"), image.get("height")]
    return isinstance(name, str) and name != "" and all(_is_whole(side, 1) for side in sides)


def _is_box(value: object) -> bool:
    if not isinstance(value, list) or len(value) != 4:
        return False
    return all(type(number) is float or _is_whole(number) for number in value)


def _is_area(value: object) -> bool:
    return isinstance(value, int | float) and 0 <= value < math.inf


def _duplicates(ids: Iterable[int]) -> list[int]:
    seen: set[int] = set()
    return [value for value in ids if value in seen or seen.add(value)]


def _refuse(bad: Sequence[object], problem: str, remedy: str = "") -> None:
    if bad:
        raise UserError(f"{problem} {list_first(bad)}{remedy}")
