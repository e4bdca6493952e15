"""Writes Pascal VOC's XML files."""

import xml.etree.ElementTree as ElementTree
from collections import Counter, defaultdict
from pathlib import Path

from mnv2_dense.formats.box_set import BoxSet, Record
from mnv2_dense.formats.written import (
    Splits,
    Written,
    check_class_names,
    describe_fields,
    describe_ids,
    describe_lost,
    describe_renamed,
    finite,
    flat_keys,
    suffix_of,
)

_LOST = {
    "segmentation": "{} outlines (segmentation): VOC's XML files have boxes only",
    "area": "{} areas of objects: taken as those of their boxes when read",
    "iscrowd": "{} crowd boxes: written as difficult, with an element iscrowd that only this "
    "project reads",
}
_OWN = ("pose", "truncated", "difficult", "occluded")
_NAMES = "VOC's have no folders, differ in more than the extension and are a line of a list each"


def write_voc(splits: Splits, out: Path) -> Written:
    """Writes Annotations/KEY.xml and ImageSets/Main/SPLIT.txt; pictures belong into JPEGImages/.

    VOC counts pixels from 1, the last one included. Boxes keep fractions of a pixel, as some of
    VOC's own do; they are written with ten digits.

    Args:
        splits: The data set.
        out: An existing folder.

    Raises:
        UserError: A class's name is no text of one line, or a picture has no extension and cannot
            be read.
    """
    check_class_names(splits)
    (out / "Annotations").mkdir()
    (out / "ImageSets" / "Main").mkdir(parents=True)
    pictures: list[tuple[Path, Path]] = []
    renamed: list[tuple[str, str]] = []
    keys = flat_keys(splits)
    for split, boxes in splits.items():
        annotations: dict[int, list[Record]] = defaultdict(list)
        for entry in finite(boxes.annotations):
            annotations[entry["image_id"]].append(entry)
        for key, image in zip(keys[split], boxes.images, strict=True):
            picture = boxes.image_folder / image["file_name"]
            name = key + suffix_of(picture)
            root = _document(name, image, annotations[image["id"]], boxes)
            ElementTree.indent(root)
            file = out / "Annotations" / f"{key}.xml"
            ElementTree.ElementTree(root).write(file, encoding="utf-8")
            pictures.append((picture, out / "JPEGImages" / name))
            renamed.append((image["file_name"], name))
        listed = "".join(f"{key}\n" for key in keys[split])
        (out / "ImageSets" / "Main" / f"{split}.txt").write_text(listed, encoding="utf-8")
    lost = [*describe_ids(splits), *describe_lost(splits, _LOST), *_empty(splits), *_merged(splits)]
    lost += [*describe_fields(splits, (*_LOST, *_OWN)), *describe_renamed(renamed, _NAMES)]
    return Written({"format": "voc"}, pictures, lost)


def _document(
    name: str, image: Record, annotations: list[Record], boxes: BoxSet
) -> ElementTree.Element:
    names = dict(boxes.categories)
    root = ElementTree.Element("annotation")
    _add(root, "folder", "JPEGImages")
    _add(root, "filename", name)
    size = ElementTree.SubElement(root, "size")
    for key, value in (("width", image["width"]), ("height", image["height"]), ("depth", 3)):
        _add(size, key, value)
    for entry in annotations:
        element = ElementTree.SubElement(root, "object")
        _add(element, "name", names[entry["category_id"]])
        for key, value in _properties(entry).items():
            _add(element, key, value)
        x, y, width, height = entry["bbox"]
        corners = {"xmin": x + 1, "ymin": y + 1, "xmax": x + width, "ymax": y + height}
        box = ElementTree.SubElement(element, "bndbox")
        for key, value in corners.items():
            _add(box, key, f"{value:.10g}")
    return root


def _properties(entry: Record) -> Record:
    crowd = 1 if entry.get("iscrowd") else 0
    known = {key: entry[key] for key in _OWN if key in entry}
    fields = {"pose": "Unspecified", "truncated": 0, "difficult": crowd, **known}
    return {**fields, "difficult": 1, "iscrowd": 1} if crowd else fields


def _add(parent: ElementTree.Element, name: str, text: object) -> None:
    ElementTree.SubElement(parent, name).text = str(text)


def _empty(splits: Splits) -> list[str]:
    """Classes that no XML file names."""
    names = {name for boxes in splits.values() for _, name in boxes.categories}
    for boxes in splits.values():
        by_id = dict(boxes.categories)
        names -= {by_id[entry["category_id"]] for entry in finite(boxes.annotations)}
    listed = ", ".join(sorted(names))
    return [f"classes without a box: {listed}; name all in data.classes"] if names else []


def _merged(splits: Splits) -> list[str]:
    """Categories that differ in their ids alone."""
    counts = [Counter(name for _, name in boxes.categories) for boxes in splits.values()]
    names = {name for found in counts for name in found if found[name] > 1}
    return [f"categories of one name, now one class: {', '.join(sorted(names))}"] if names else []
