"""Reads YOLO's text files."""

import os
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from pathlib import Path

from mnv2_dense.errors import UserError
from mnv2_dense.formats.box_set import BoxSet, Record
from mnv2_dense.formats.picture_files import is_picture, link_problems, read_sizes, stem_of
from mnv2_dense.formats.problems import Level, Places, Problem, errors_at
from mnv2_dense.formats.split import Choice
from mnv2_dense.formats.yolo_labels import Finding, read_labels
from mnv2_dense.formats.yolo_names import find_names, read_names
from mnv2_dense.formats.yolo_places import Place, find_labels, find_pictures
from mnv2_dense.formats.yolo_yaml import DataYaml
from mnv2_dense.image_files import list_files
from mnv2_dense.quoting import LONGEST_PATH, quote
from mnv2_dense.small_files import is_file
from mnv2_dense.structures import Category, ImageSize

NO_LABELS = {"classes.txt"}
"""The file of class names that labelImg writes beside its labels."""


def read_yolo(
    root: Path,
    split: str,
    images: str | None,
    names: Sequence[str] | None,
    *,
    upright: bool,
    choose: Choice | None = None,
) -> BoxSet:
    """The pictures and boxes of a split of a data set with a data.yaml.

    A picture without a label file, or with an empty one, is a negative. Boxes become pixels by the
    size in the picture's header.

    Args:
        root: The folder with a data.yaml (or one file *.yaml that has `names`; or Darknet's
            obj.data, or classes.txt), or that file.
        split: `train` or `val`.
        images: Folder of the split's pictures below `root`, or a list of them; None asks data.yaml.
        names: The classes in the order of their numbers, where there is no data.yaml.
        upright: Whether boxes were drawn on pictures as EXIF turns them.
        choose: Which of the split's pictures are read; None reads all.

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
            f"{root}: no data.yaml with names in it, obj.data or classes.txt; write one, or "
            f"set data.classes and data.{split}_images"
        )
    pictures = find_pictures(folder, split, images, data)
    problems: list[Problem] = []
    places = find_labels(_present(pictures, root, problems))
    if not any(place.labelled for place in places):
        looked = " and ".join(sorted({str(place.labels.parent) for place in places})[:5])
        raise UserError(f"{root}: no label file of a {split} picture (looked in {looked or root})")
    lists = {Path(name).name for name in _named(images, data)}
    title = f"{root}: label files without a picture, left out:"
    problems += errors_at("unused_label", title, _unused(places, lists), level=Level.PROBLEM)
    image_folder = Path(os.path.commonpath([place.picture.parent for place in places]))
    if choose is not None:
        keys = [place.picture.relative_to(image_folder).as_posix() for place in places]
        places = [places[position] for position in choose(keys)]
    places, sizes = _with_sizes(places, upright, problems)
    records = [
        _image_record(number, place.picture.relative_to(image_folder), size)
        for number, (place, size) in enumerate(zip(places, sizes, strict=True), start=1)
    ]
    problems += link_problems(image_folder, [record["file_name"] for record in records])
    boxes = _annotations(root, places, sizes, len(classes), problems)
    categories = tuple(Category(number, name) for number, name in enumerate(classes))
    source = root if data is None else data.file
    return BoxSet(source, image_folder, records, categories, boxes, problems, "lines")


def _data_yaml(root: Path) -> DataYaml | None:
    if not root.exists():
        raise UserError(f"{root}: no such folder or data.yaml (data.root)")
    file = root if root.is_file() else find_names(root)
    return None if file is None else read_names(file, root.parent if root.is_file() else root)


def _present(pictures: Sequence[Path], root: Path, problems: list[Problem]) -> list[Path]:
    """Those of the pictures that are there, each once."""
    counts = Counter(pictures)
    twice = [path for path in counts if counts[path] > 1]
    title = f"{root}: pictures listed twice, taken once:"
    problems += errors_at("listed_twice", title, map(_shown, twice), level=Level.PROBLEM)
    missing = {path for path in counts if not is_file(path)}
    title = f"{root}: listed pictures are missing:"
    problems += errors_at("missing_picture", title, map(_shown, sorted(missing)))
    return [path for path in counts if path not in missing]


def _shown(path: Path) -> str:
    return quote(str(path), LONGEST_PATH)


def _named(images: str | None, data: DataYaml | None) -> list[str]:
    """Folders and lists of pictures of any split."""
    named = [] if data is None else [name for names in data.places.values() for name in names]
    return named if images is None else [*named, images]


def _unused(places: Sequence[Place], lists: Collection[str]) -> list[Path]:
    """Label files in the folders of the labels that belong to no picture, of whatever split."""
    parents: dict[Path, set[Path]] = defaultdict(set)
    for place in places:
        parents[place.labels.parent].add(place.picture.parent)
    found: list[Path] = []
    for folder, around in parents.items():
        stems = {stem_of(name) for each in around for name in list_files(each) if is_picture(name)}
        for name in sorted(list_files(folder) - NO_LABELS - set(lists)):
            known = name.startswith(".") or stem_of(name) in stems
            if name.endswith(".txt") and not known:
                found.append(folder / name)
    return found


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
    found: dict[tuple[str, str, Level], Places] = defaultdict(Places)
    records: list[Record] = []
    for image_id, (place, size) in enumerate(zip(places, sizes, strict=True), start=1):
        if not place.labelled:
            continue
        labels, findings = read_labels(place.labels, num_classes)
        name = place.labels.relative_to(base).as_posix()
        for each in findings:
            found[each.kind, each.title, each.level].add(_place(each, name))
        for label in labels:
            ids = {"id": len(records) + 1, "image_id": image_id, "category_id": label.label}
            x, y, width, height = label.box
            wide, high = size.width, size.height
            marks = {"place": f"{name} line {label.line}", "iscrowd": 0, "difficult": 0}
            bbox = [x * wide, y * high, width * wide, height * high]
            records.append({**ids, "bbox": bbox, **marks})
    for (kind, title, level), where in found.items():
        problems += where.problems(kind, f"{root}: {title}", level=level)
    return records


def _place(finding: Finding, name: str) -> str:
    line = f" line {finding.line}" if finding.line else ""
    detail = f" ({finding.detail})" if finding.detail else ""
    return f"{name}{line}{detail}"
