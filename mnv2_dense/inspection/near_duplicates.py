"""Copies across training and validation that were compressed anew or resized, and equal names."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from mnv2_dense.formats.box_set import BoxSet
from mnv2_dense.formats.problems import Level, Problem
from mnv2_dense.inspection.duplicates import Use, duplicate_findings
from mnv2_dense.inspection.findings import Finding

TOLERANCE = 4.0
"""Root mean square by which thumbnails of copies differ, in gray levels, at most.

Measured on 689 pictures of COCO and VOC: JPEG of quality 70 and 30 gives 1.4 and 2.5 at most, half
the size less than 4 in 98 of 100; of all 237,016 pairs the closest differ by 16.
"""
CONTRAST = 4.0
"""A thumbnail's standard deviation is at least so many times the difference: flat pictures are
alike without being copies."""

_BLOCK = 1024
"""Thumbnails compared at once."""


def copy_findings(uses: Sequence[Use]) -> list[Finding]:
    """Everything that is there twice: pixels, nearly the same pictures, names."""
    alike = near_duplicate_findings(uses)
    return [*duplicate_findings(uses), *alike, *equal_name_findings(uses, alike)]


def near_duplicate_findings(uses: Sequence[Use]) -> list[Finding]:
    """Pictures of validation that look like one of training, without its very pixels.

    Copies that were cut, turned or brightened are not found. A film's frames may be found:
    frames that cannot be told apart in both splits are a leak as well.
    """
    splits = [_of_split(uses, split) for split in ("train", "val")]
    if not all(splits):
        return []
    train, val = (np.stack([_thumbnail(use) for use in split]) for split in splits)
    title = "nearly the same picture in training and validation, so scores are too good:"
    found: list[Finding] = []
    for start in range(0, len(val), _BLOCK):
        for row, column, distance in _pairs(val[start : start + _BLOCK], train):
            one, other = splits[0][column], splits[1][start + row]
            place = f"{_names(one, other)} (thumbnails differ by {distance:.1f} of 255)"
            remedy = "; look at both, and remove one if they are copies"
            problem = Problem("near_duplicate", Level.PROBLEM, title, place, remedy)
            found.append(Finding(problem, (one.facts.path, other.facts.path)))
    return found


def _pairs(val: np.ndarray, train: np.ndarray) -> Iterator[tuple[int, int, float]]:
    """Rows, columns and differences of those whose thumbnails are alike."""
    for start in range(0, len(train), _BLOCK):
        part = train[start : start + _BLOCK]
        squares = (val**2).mean(axis=1)[:, None] + (part**2).mean(axis=1)
        distance = np.sqrt(np.maximum(0, squares - 2 * (val @ part.T) / val.shape[1]))
        limit = np.minimum(TOLERANCE, val.std(axis=1) / CONTRAST)
        for row, column in np.argwhere(distance < limit[:, None]).tolist():
            yield row, start + column, float(distance[row, column])


def equal_name_findings(uses: Sequence[Use], alike: Sequence[Finding]) -> list[Finding]:
    """Names without their extensions that stand in both splits, for pictures that are not alike.

    Args:
        uses: Pictures of both splits.
        alike: Findings of nearly the same pictures, which are not said again.
    """
    told = {path for finding in alike for path in finding.pictures}
    train = {_stem(use): use for use in uses if use.split == "train"}
    title = "the same name in training and validation, for pictures that do not look alike:"
    found: list[Finding] = []
    for use in uses:
        twin = train.get(_stem(use)) if use.split == "val" else None
        if twin is None or use.facts.path in told:
            continue
        if twin.facts.pixels_hash != use.facts.pixels_hash:
            found.append(Finding(Problem("equal_name", Level.NOTE, title, _names(twin, use))))
    return found


def equal_id_findings(sets: Mapping[str, BoxSet]) -> list[Finding]:
    """Image ids that name other files in training than in validation."""
    title = "the same image id in training and validation, for files of other names:"
    ids = {
        split: {image["id"]: image["file_name"] for image in boxes.images}
        for split, boxes in sets.items()
    }
    train = ids.get("train", {})
    return [
        Finding(Problem("equal_image_id", Level.NOTE, title, f"{number} ({train[number]}, {name})"))
        for number, name in ids.get("val", {}).items()
        if train.get(number, name) != name
    ]


def _of_split(uses: Sequence[Use], split: str) -> list[Use]:
    """The pictures that can be read, but those whose very pixels the other split has, too."""
    owners: dict[bytes, set[str]] = defaultdict(set)
    for use in uses:
        owners[use.facts.pixels_hash].add(use.split)
    return [
        use
        for use in uses
        if use.split == split and use.facts.thumbnail and owners[use.facts.pixels_hash] == {split}
    ]


def _thumbnail(use: Use) -> np.ndarray:
    return np.frombuffer(use.facts.thumbnail, np.uint8).astype(np.float32) - 128


def _stem(use: Use) -> str:
    return use.name.removesuffix(use.facts.path.suffix)


def _names(train: Use, val: Use) -> str:
    return f"train {train.name} = val {val.name}"
