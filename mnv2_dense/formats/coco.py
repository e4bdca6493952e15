"""Reads COCO's instances files."""

import json
import posixpath
from collections import defaultdict
from collections.abc import Collection
from pathlib import Path

from mnv2_dense.errors import UserError
from mnv2_dense.formats.box_set import BoxSet, Record
from mnv2_dense.formats.coco_records import ANNOTATION_RULES, has_id, is_image, is_whole
from mnv2_dense.formats.problems import Problem, errors_at
from mnv2_dense.images import leaves_folder, missing_files
from mnv2_dense.ops.texts import list_first
from mnv2_dense.structures import Category

HOW_TO_GET_COCO = (
    "To get COCO, run tools/download_data.py coco, or download train2017.zip, val2017.zip and "
    "annotations_trainval2017.zip from images.cocodataset.org and unpack them into one folder "
    "(data.root), so that it holds train2017/, val2017/ and annotations/instances_train2017.json, "
    "annotations/instances_val2017.json"
)
SECTIONS = ("images", "annotations", "categories")


def read_coco(annotation_file: Path, image_folder: Path) -> BoxSet:
    """The images and boxes of a COCO instances file.

    Args:
        annotation_file: instances_*.json.
        image_folder: Folder of the pictures that `file_name` refers to.

    Returns:
        All of the file that can be used; what cannot stands in its `problems`.

    Raises:
        UserError: The file or folder is missing, or the file is no COCO instances file at all.
    """
    _check_present(annotation_file, image_folder)
    content = _load(annotation_file)
    problems: list[Problem] = []
    entries = {key: _section(content, key, annotation_file, problems) for key in SECTIONS}
    images = _sound_images(entries["images"], annotation_file, problems)
    categories = _sound_categories(entries["categories"], annotation_file, problems)
    annotations = _sound_annotations(entries["annotations"], annotation_file, problems)
    for key, section, sound in (
        ("image_id", "images", images),
        ("category_id", "categories", categories),
    ):
        listed = entries[section]
        annotations = _referring(annotations, key, listed, sound, annotation_file, problems)
    missing = missing_files(image_folder, [image["file_name"] for image in images])
    title = f"{image_folder}: pictures named in {annotation_file} are missing:"
    hint = f". {HOW_TO_GET_COCO}" if image_folder.name in ("train2017", "val2017") else ""
    problems += errors_at("missing_picture", title, missing, hint)
    return BoxSet(
        annotation_file,
        image_folder,
        sorted(images, key=lambda image: image["id"]),
        tuple(sorted(Category(entry["id"], entry["name"]) for entry in categories)),
        annotations,
        problems,
        extras=_others(content, SECTIONS),
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


def _load(file: Path) -> Record:
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


def _section(content: Record, key: str, file: Path, problems: list[Problem]) -> list[Record]:
    """The entries of one list of the file that are objects with distinct ids."""
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
    bad = [place for place, entry in enumerate(entries) if not has_id(entry)]
    title = f"{file}: '{key}' has entries without a whole-number id, at positions"
    problems += errors_at("no_id", title, bad)
    first: dict[int, Record] = {}
    twice: list[int] = []
    for entry in filter(has_id, entries):
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
    title = f"{file}: file_name leaves the image folder (absolute or '..') for image ids"
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


def _sound_annotations(entries: list[Record], file: Path, problems: list[Problem]) -> list[Record]:
    bad: set[int] = set()
    for kind, title, sound in ANNOTATION_RULES:
        found = [entry["id"] for entry in entries if not sound(entry)]
        problems += errors_at(kind, f"{file}: {title} for annotation ids", found)
        bad.update(found)
    return [entry for entry in entries if entry["id"] not in bad]


def _referring(
    annotations: list[Record],
    key: str,
    listed: list[Record],
    sound: list[Record],
    file: Path,
    problems: list[Problem],
) -> list[Record]:
    """Those annotations whose image or category is sound; not being listed is a mistake."""
    known = {entry["id"] for entry in listed}
    usable = {entry["id"] for entry in sound}
    lost = [entry for entry in annotations if not _refers(entry.get(key), known)]
    places = [f"{entry['id']} ({key} {entry.get(key)!r})" for entry in lost]
    title = f"{file}: {key} is missing from the file for annotation ids"
    problems += errors_at(f"unknown_{key}", title, places)
    return [entry for entry in annotations if _refers(entry.get(key), usable)]


def _refers(value: object, known: set[int]) -> bool:
    return is_whole(value) and value in known
