"""Boxes and classes of a data set: what is wrong with them, and how anchors match them."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from mnv2_dense.detection.targets import ROUNDING, apply_box_rule
from mnv2_dense.formats.box_set import BoxSet, Record, place_of
from mnv2_dense.formats.problems import Level, Problem
from mnv2_dense.formats.records import columns_of
from mnv2_dense.inspection.findings import Box, Finding, percent, without_pictures

DROPPED = {
    "nan_box": "boxes that are not finite, dropped:",
    "inverted_box": "boxes of negative width or height (corners exchanged), dropped:",
    "degenerate_box": "boxes without width or height, dropped:",
    "outside_box": "boxes outside of their picture, dropped:",
    "tiny_box": "boxes of which less than a pixel is left inside the picture, dropped:",
}
"""Kinds of boxes that training and evaluation leave out; of several reasons the first is given."""


def box_findings(boxes: BoxSet) -> list[Finding]:
    """Boxes that are dropped, clipped or given twice; crowds, difficult ones and id 0."""
    single = [entry for entry in boxes.annotations if not entry.get("iscrowd")]
    named = _Namer(boxes)
    xywh = columns_of(single).boxes
    sizes = np.array([named.size(entry) for entry in single], dtype=np.int64).reshape(-1, 2)
    _, kept, clipped = apply_box_rule(xywh, sizes)
    found: list[Finding] = []
    for position in np.flatnonzero(~kept):
        kind = _why_dropped(xywh[position], sizes[position])
        found.append(named.finding(single[position], kind, DROPPED[kind]))
    title = f"boxes that leave their picture by more than {ROUNDING:g} pixels, clipped to it:"
    found += [
        named.finding(single[position], "clipped_box", title)
        for position in np.flatnonzero(clipped)
    ]
    return [*found, *_duplicates(single, named), *without_pictures(_notes(boxes, named))]


def _why_dropped(xywh: np.ndarray, size: np.ndarray) -> str:
    x, y, width, height = xywh.tolist()
    if not np.isfinite(xywh).all():
        return "nan_box"
    if width < 0 or height < 0:
        return "inverted_box"
    if width == 0 or height == 0:
        return "degenerate_box"
    outside = x >= size[1] or y >= size[0] or x + width <= 0 or y + height <= 0
    return "outside_box" if outside else "tiny_box"


class _Namer:
    """Findings of a set's annotations, which name the annotation and its picture."""

    def __init__(self, boxes: BoxSet) -> None:
        self.boxes = boxes
        self.images = {image["id"]: image for image in boxes.images}

    def size(self, entry: Record) -> tuple[int, int]:
        image = self.images[entry["image_id"]]
        return image["height"], image["width"]

    def finding(self, entry: Record, kind: str, title: str, twin: Record | None = None) -> Finding:
        name = self.images[entry["image_id"]]["file_name"]
        place = place_of(entry) if twin is None else f"{place_of(twin)} = {place_of(entry)}"
        title = f"{self.boxes.source}: {title} {self.boxes.places}"
        numbers = ", ".join(f"{number:g}" for number in entry["bbox"])
        problem = Problem(kind, Level.PROBLEM, title, f"{place} ({name}: {numbers})")
        return Finding(problem, (self.boxes.image_folder / name,), (_corners(entry["bbox"]),))


def _corners(xywh: Sequence[float]) -> Box:
    x, y, width, height = (float(number) for number in xywh)
    return x, y, x + width, y + height


def _duplicates(entries: Iterable[Record], named: _Namer) -> Iterator[Finding]:
    first: dict[tuple[object, ...], Record] = {}
    title = "boxes given twice, of the same class and place:"
    for entry in entries:
        key = (entry["image_id"], entry["category_id"], *entry["bbox"])
        twin = first.setdefault(key, entry)
        if twin is not entry:
            yield named.finding(entry, "duplicate_box", title, twin)


def _notes(boxes: BoxSet, named: _Namer) -> Iterator[Problem]:
    marks = {
        "crowd": ("iscrowd", "crowds, left out of training and ignored in evaluation:"),
        "difficult": ("difficult", "difficult boxes, which are trained on:"),
    }
    for kind, (key, title) in marks.items():
        for entry in boxes.annotations:
            if entry.get(key):
                place = f"{place_of(entry)} ({named.images[entry['image_id']]['file_name']})"
                yield Problem(
                    kind, Level.NOTE, f"{boxes.source}: {title} {boxes.places}", place
                )  # fmt: skip
    if any(entry["id"] == 0 and "place" not in entry for entry in boxes.annotations):
        title = f"{boxes.source}: an annotation has id 0, which pycocotools alone would mis-score:"
        yield Problem("annotation_id_0", Level.NOTE, title, "annotation id 0")


def empty_findings(boxes: BoxSet, split: str) -> list[Finding]:
    """Pictures without any box that is trained on or evaluated."""
    filled = {entry["image_id"] for entry in boxes.annotations}
    empty = [image for image in boxes.images if image["id"] not in filled]
    share = percent(len(empty), len(boxes.images))
    title = f"{split}: {share} pictures have no boxes and are negatives:"
    return without_pictures(
        Problem("empty_picture", Level.NOTE, title, image["file_name"]) for image in empty
    )


def count_classes(boxes: BoxSet) -> dict[str, int]:
    """Boxes by class, crowds left out."""
    names = {category.category_id: category.name for category in boxes.categories}
    counts = Counter(
        names[entry["category_id"]] for entry in boxes.annotations if not entry.get("iscrowd")
    )
    return {name: counts[name] for name in names.values()}


def class_findings(sets: Mapping[str, BoxSet]) -> list[Finding]:
    """What is wrong with the classes of both splits."""
    problems: list[Problem] = []
    for boxes in sets.values():
        problems += [*_gaps(boxes), *_equal_names(boxes)]
    if len({boxes.categories for boxes in sets.values()}) > 1:
        title = "training and validation have other categories:"
        places = [_difference(sets["train"], sets["val"])]
        problems += [Problem("other_categories", Level.ERROR, title, each) for each in places]
    counts = {split: count_classes(boxes) for split, boxes in sets.items()}
    return without_pictures([*dict.fromkeys(problems), *absent_classes(counts, "boxes")])


def absent_classes(counts: Mapping[str, Mapping[str, int]], what: str) -> list[Problem]:
    """Classes that a split lacks.

    Args:
        counts: By split and class.
        what: Is counted: `boxes`.
    """
    train, val = counts.get("train"), counts.get("val")
    problems: list[Problem] = []
    for name in dict.fromkeys(name for each in counts.values() for name in each):
        in_train = train is None or train.get(name, 0) > 0
        in_val = val is None or val.get(name, 0) > 0
        if not in_train and not (in_val and val is not None):
            title = f"classes without any {what}, which cannot be learnt:"
            problems.append(Problem("absent_class", Level.PROBLEM, title, name))
        elif not in_train:
            title = f"classes that have {what} in validation, but none in training:"
            problems.append(Problem("class_only_in_val", Level.PROBLEM, title, name))
        elif not in_val:
            title = f"classes that have no {what} in validation, so they get no score:"
            problems.append(Problem("class_not_in_val", Level.NOTE, title, name))
    return problems


def _gaps(boxes: BoxSet) -> Iterator[Problem]:
    ids = [category.category_id for category in boxes.categories]
    if ids and max(ids) - min(ids) + 1 > len(ids):
        title = "category ids have gaps; labels are counted on without them:"
        place = f"{len(ids)} ids from {min(ids)} to {max(ids)}"
        yield Problem("category_gaps", Level.NOTE, title, place)


def _equal_names(boxes: BoxSet) -> Iterator[Problem]:
    ids: dict[str, list[int]] = defaultdict(list)
    for category in boxes.categories:
        ids[category.name].append(category.category_id)
    title = "several categories of one name, trained as several classes:"
    for name, found in ids.items():
        if len(found) > 1:
            place = f"{name} (ids {', '.join(map(str, found))})"
            yield Problem("equal_names", Level.PROBLEM, title, place)


def _difference(train: BoxSet, val: BoxSet) -> str:
    only = [
        f"only in {split}: {', '.join(f'{each.category_id} {each.name}' for each in found)}"
        for split, found in (
            ("training", [each for each in train.categories if each not in val.categories]),
            ("validation", [each for each in val.categories if each not in train.categories]),
        )
        if found
    ]
    return "; ".join(only)
