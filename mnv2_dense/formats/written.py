"""What all writers of detection data sets share."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from mnv2_dense.formats.box_set import BoxSet, Record

Splits = Mapping[str, BoxSet]
"""A whole data set: `train` and `val`, or one of them."""


class Written(NamedTuple):
    """What a writer made of a data set, but for the pictures, which are still to be copied.

    Attributes:
        data: The data section of a config that reads it.
        pictures: Each picture's file, and where it belongs.
        lost: What the format cannot hold, or holds in another way, a line each.
    """

    data: dict[str, object]
    pictures: list[tuple[Path, Path]]
    lost: list[str]


def finite(annotations: Iterable[Record]) -> list[Record]:
    """The annotations whose boxes are four finite numbers: no format can write the others."""
    return [entry for entry in annotations if all(map(math.isfinite, entry["bbox"]))]


def describe_lost(splits: Splits, reasons: Mapping[str, str]) -> list[str]:
    """A line for each key that annotations have and the format cannot hold.

    Args:
        splits: What is written.
        reasons: By key, what becomes of it; `{}` stands for how many there are.
    """
    entries = [entry for boxes in splits.values() for entry in boxes.annotations]
    counts = {key: sum(bool(entry.get(key)) for entry in entries) for key in reasons}
    lost = [text.format(counts[key]) for key, text in reasons.items() if counts[key]]
    odd = len(entries) - len(finite(entries))
    return [*lost, *([f"{odd} boxes that are not finite: left out"] if odd else [])]


def describe_ids(splits: Splits) -> list[str]:
    """A line on ids, where the data set has ids of its own."""
    if any("place" in entry for boxes in splits.values() for entry in boxes.annotations):
        return []
    return ["ids of images, annotations and categories: there are file and class names instead"]


def flat_keys(splits: Splits) -> dict[str, list[str]]:
    """A name without folders and extension for every picture, all different.

    File names alone if these differ, else with the split, else with split, folders and extension.
    """
    for name_of in (_stem, _split_and_stem, _whole):
        keys = {
            split: [name_of(split, image["file_name"]) for image in boxes.images]
            for split, boxes in splits.items()
        }
        counts = Counter(key.lower() for names in keys.values() for key in names)
        if all(count == 1 for count in counts.values()):
            return keys
    return {
        split: [f"{split}_{number:06}" for number in range(len(boxes.images))]
        for split, boxes in splits.items()
    }


def _stem(split: str, file_name: str) -> str:
    return Path(file_name).stem


def _split_and_stem(split: str, file_name: str) -> str:
    return f"{split}_{Path(file_name).stem}"


def _whole(split: str, file_name: str) -> str:
    return f"{split}_{file_name}".replace("/", "_").replace(".", "_")
