"""Reads COCO's instances files."""

import posixpath
from collections import defaultdict
from collections.abc import Collection
from pathlib import Path

from mnv2_dense.errors import UserError
from mnv2_dense.formats.box_set import BoxSet
from mnv2_dense.formats.coco_annotations import sound_annotations
from mnv2_dense.formats.coco_records import is_image
from mnv2_dense.formats.coco_sections import ListedEntries, read_sections
from mnv2_dense.formats.picture_files import link_problems
from mnv2_dense.formats.problems import Problem, errors_at
from mnv2_dense.formats.records import Record
from mnv2_dense.image_files import leaves_folder, missing_files
from mnv2_dense.ops.texts import list_first
from mnv2_dense.structures import Category

HOW_TO_GET_COCO = (
    "To get COCO, run mnv2-dense download_data coco, or download train2017.zip, val2017.zip and "
    "annotations_trainval2017.zip from images.cocodataset.org and unpack them into one folder "
    "(data.root), so that it holds train2017/, val2017/ and annotations/instances_train2017.json, "
    "annotations/instances_val2017.json"
)


def read_coco(annotation_file: Path, image_folder: Path, *, whole: bool = True) -> BoxSet:
    """The images and boxes of a COCO instances file.

    The file is read entry by entry, and annotations are kept as numbers: memory grows with what
    is kept, not with what the file holds. Pictures stay below `image_folder`: see
    `mnv2_dense.image_files.foreign_links`.

    Args:
        annotation_file: instances_*.json.
        image_folder: Folder of the pictures that `file_name` refers to.
        whole: Whether all fields are kept: outlines, `info`, links. Boxes need few of them.

    Returns:
        All of the file that can be used; what cannot stands in its `problems`.

    Raises:
        UserError: The file or folder is missing, or the file is no COCO instances file at all, or
            one of more entries than `MAX_ENTRIES`.
    """
    _check_present(annotation_file, image_folder)
    found = read_sections(annotation_file, whole=whole)
    problems: list[Problem] = []
    entries = {
        key: _distinct(found.lists[key], key, annotation_file, problems)
        for key in ("images", "categories")
    }
    images = _sound_images(entries["images"], annotation_file, problems)
    categories = _sound_categories(entries["categories"], annotation_file, problems)
    usable = {"images": images, "categories": categories}
    annotations = sound_annotations(found.annotations, entries, usable, annotation_file, problems)
    names = [image["file_name"] for image in images]
    missing = missing_files(image_folder, names)
    title = f"{image_folder}: pictures named in {annotation_file} are missing:"
    hint = f". {HOW_TO_GET_COCO}" if image_folder.name in ("train2017", "val2017") else ""
    problems += errors_at("missing_picture", title, missing, hint)
    problems += link_problems(image_folder, names)
    return BoxSet(
        annotation_file,
        image_folder,
        sorted(images, key=lambda image: image["id"]),
        tuple(sorted(Category(entry["id"], entry["name"]) for entry in categories)),
        annotations,
        problems,
        extras=found.extras,
        category_extras={entry["id"]: _others(entry, ("id", "name")) for entry in categories},
    )


def _others(record: Record, known: Collection[str]) -> Record:
    return {key: value for key, value in record.items() if key not in known}


def _check_present(annotation_file: Path, image_folder: Path) -> None:
    missing = []
    if not annotation_file.is_file():
        missing.append(f"annotation file {annotation_file}")
    if not image_folder.is_dir():
        missing.append(f"image folder {image_folder}")
    if missing:
        raise UserError(f"not found: {' and '.join(missing)}. {HOW_TO_GET_COCO}")


def _distinct(found: ListedEntries, key: str, file: Path, problems: list[Problem]) -> list[Record]:
    """The entries of one list of the file whose ids are given once."""
    problems += found.problems(key, file)
    first: dict[int, Record] = {}
    twice: list[int] = []
    for entry in found.entries:
        if first.setdefault(entry["id"], entry) is not entry:
            twice.append(entry["id"])
    problems += errors_at("duplicate_id", f"{file}: duplicate ids in '{key}':", twice)
    return list(first.values())


def _sound_images(entries: list[Record], file: Path, problems: list[Problem]) -> list[Record]:
    bad = {image["id"] for image in entries if not is_image(image)}
    title = f"{file}: no file_name, or no whole width and height of 1 or more, for image ids"
    problems += errors_at("bad_image_record", title, bad)
    whole = [image for image in entries if image["id"] not in bad]
    outside = {image["id"] for image in whole if leaves_folder(image["file_name"])}
    title = f"{file}: file_name leaves the image folder (absolute, '..' or NUL) for image ids"
    problems += errors_at("outside_folder", title, outside)
    return _different([image for image in whole if image["id"] not in outside], file, problems)


def _different(images: list[Record], file: Path, problems: list[Problem]) -> list[Record]:
    """The first image of every file: another could stand in train when this one is in val."""
    same: dict[str, list[Record]] = defaultdict(list)
    for image in images:
        same[posixpath.normpath(image["file_name"])].append(image)
    places = [
        f"{name} (image ids {list_first([image['id'] for image in found])})"
        for name, found in same.items()
        if len(found) > 1
    ]
    title = f"{file}: several images have the same file_name:"
    problems += errors_at("duplicate_file_name", title, places)
    return [found[0] for found in same.values()]


def _sound_categories(entries: list[Record], file: Path, problems: list[Problem]) -> list[Record]:
    bad = [entry["id"] for entry in entries if not isinstance(entry.get("name"), str)]
    problems += errors_at("unnamed_category", f"{file}: no name for category ids", bad)
    return [entry for entry in entries if isinstance(entry.get("name"), str)]
