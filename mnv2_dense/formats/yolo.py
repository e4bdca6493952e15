"""Reads YOLO's text files."""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from mnv2_dense.errors import UserError
from mnv2_dense.formats.box_set import BoxSet, Record
from mnv2_dense.formats.picture_files import read_sizes
from mnv2_dense.formats.problems import Level, Problem, errors_at
from mnv2_dense.formats.yolo_labels import Finding, read_labels
from mnv2_dense.formats.yolo_places import Place, find_labels, find_pictures
from mnv2_dense.formats.yolo_yaml import DataYaml, find_yaml, read_yaml
from mnv2_dense.structures import Category, ImageSize


def read_yolo(
    root: Path, split: str, images: str | None, names: Sequence[str] | None, *, upright: bool
) -> BoxSet:
    """The pictures and boxes of a split of a data set with a data.yaml.

    A picture without a label file, or with an empty one, is a negative. Boxes become pixels by the
    size in the picture's header.

    Args:
        root: The folder with a data.yaml (or one file *.yaml that has `names`), or that file.
        split: `train` or `val`.
        images: Folder of the split's pictures below `root`, or a list of them; None asks data.yaml.
        names: The classes in the order of their numbers, where there is no data.yaml.
        upright: Whether boxes were drawn on pictures as EXIF turns them.

    Returns:
        All that can be used; what cannot stands in its `problems`. Image ids count from 1 in the
        order of the pictures, category ids are YOLO's, from 0.

    Raises:
        UserError: There is no data.yaml and something is asked of it, it cannot be used, the
            split has no pictures, or not one of them has labels.
    """
    data = _data_yaml(root)
    folder = root.parent if root.is_file() else root
    classes = names if data is None else data.names
    if classes is None or (images is None and data is None):
        raise UserError(
            f"{root}: no data.yaml with names in it; write one, or set data.classes and "
            f"data.{split}_images"
        )
    pictures = find_pictures(folder, split, images, data)
    problems: list[Problem] = []
    places = find_labels(_present(pictures, root, problems))
    if not any(place.labelled for place in places):
        looked = " and ".join(sorted({str(place.labels.parent) for place in places})[:5])
        raise UserError(f"{root}: no label file of a {split} picture (looked in {looked or root})")
    places, sizes = _with_sizes(places, upright, problems)
    image_folder = Path(os.path.commonpath([place.picture.parent for place in places] or [folder]))
    records = [
        _image_record(number, place.picture.relative_to(image_folder), size)
        for number, (place, size) in enumerate(zip(places, sizes, strict=True), start=1)
    ]
    boxes = _annotations(root, places, sizes, len(classes), problems)
    categories = tuple(Category(number, name) for number, name in enumerate(classes))
    source = root if data is None else data.file
    return BoxSet(source, image_folder, records, categories, boxes, problems, "lines")


def _data_yaml(root: Path) -> DataYaml | None:
    if not root.exists():
        raise UserError(f"{root}: no such folder or data.yaml (data.root)")
    file = root if root.is_file() else find_yaml(root)
    return None if file is None else read_yaml(file)


def _present(pictures: Sequence[Path], root: Path, problems: list[Problem]) -> list[Path]:
    """Those of the pictures that are there, each once."""
    counts = Counter(pictures)
    twice = [path for path in counts if counts[path] > 1]
    title = f"{root}: pictures listed twice, taken once:"
    problems += errors_at("listed_twice", title, twice, level=Level.PROBLEM)
    missing = {path for path in counts if not path.is_file()}
    title = f"{root}: listed pictures are missing:"
    problems += errors_at("missing_picture", title, sorted(missing))
    return [path for path in counts if path not in missing]


def _with_sizes(
    places: list[Place], upright: bool, problems: list[Problem]
) -> tuple[list[Place], list[ImageSize]]:
    """Those whose pictures can be read."""
    sizes, unreadable = read_sizes([place.picture for place in places], upright=upright)
    problems += unreadable
    known = [(place, size) for place, size in zip(places, sizes, strict=True) if size is not None]
    return [place for place, _ in known], [size for _, size in known]


def _image_record(number: int, name: Path, size: ImageSize) -> Record:
    sides = {"width": size.width, "height": size.height}
    return {"id": number, "file_name": name.as_posix(), **sides}


def _annotations(
    root: Path,
    places: Sequence[Place],
    sizes: Sequence[ImageSize],
    num_classes: int,
    problems: list[Problem],
) -> list[Record]:
    """Records of the boxes; picture i has id i + 1."""
    base = Path(os.path.commonpath([place.labels.parent for place in places] or [root]))
    records: list[Record] = []
    for image_id, (place, size) in enumerate(zip(places, sizes, strict=True), start=1):
        if not place.labelled:
            continue
        labels, findings = read_labels(place.labels, num_classes)
        name = place.labels.relative_to(base).as_posix()
        problems += [_problem(finding, name, root) for finding in findings]
        for label in labels:
            ids = {"id": len(records) + 1, "image_id": image_id, "category_id": label.label}
            x, y, width, height = label.box
            wide, high = size.width, size.height
            marks = {"place": f"{name} line {label.line}", "iscrowd": 0, "difficult": 0}
            bbox = [x * wide, y * high, width * wide, height * high]
            records.append({**ids, "bbox": bbox, **marks})
    return records


def _problem(finding: Finding, name: str, root: Path) -> Problem:
    line = f" line {finding.line}" if finding.line else ""
    detail = f" ({finding.detail})" if finding.detail else ""
    title = f"{root}: {finding.title}"
    return Problem(finding.kind, finding.level, title, f"{name}{line}{detail}")
