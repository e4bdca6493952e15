"""Which classes the masks of a data set hold."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from mnv2_dense.config.segmentation import SegmentationData
from mnv2_dense.formats.problems import Problem
from mnv2_dense.inspection.boxes import absent_classes
from mnv2_dense.inspection.masks import MaskFacts
from mnv2_dense.segmentation.gaps import Gap

Masks = Mapping[str, Sequence[MaskFacts]]
"""Masks by split."""
Counts = dict[str, dict[str, int]]
"""By split and class."""


def are_counted(given: SegmentationData, settled: SegmentationData) -> bool:
    """Whether the number of classes was taken from the values of the training masks."""
    said = given.num_classes is not None or given.colors is not None
    return settled.classes is None and not said


def count_pixels(names: Sequence[str], masks: Masks) -> Counts:
    """Pixels by split and class."""
    totals = {split: _sum(facts.pixels for facts in found) for split, found in masks.items()}
    return _by_name(names, totals)


def count_masks(names: Sequence[str], masks: Masks) -> Counts:
    """Masks that hold a class, by split and class."""
    totals = {
        split: Counter(label for facts in found for label in facts.pixels)
        for split, found in masks.items()
    }
    return _by_name(names, totals)


def only_present(counts: Counts) -> Counts:
    """Without the classes that are nowhere."""
    there = {name for found in counts.values() for name, count in found.items() if count}
    return {
        split: {name: count for name, count in found.items() if name in there}
        for split, found in counts.items()
    }


def absent_from_masks(names: Sequence[str], masks: Masks, gaps: Iterable[Gap]) -> list[Problem]:
    """Classes that a split lacks; those in gaps, which no split has, are said there."""
    counts = count_pixels(names, masks)
    if not any(count for found in counts.values() for count in found.values()):
        return []
    there = only_present(counts)
    told = {names[value] for gap in gaps for value in gap.missing}
    kept = {
        split: {
            name: count for name, count in found.items() if name not in told or name in there[split]
        }
        for split, found in counts.items()
    }
    return absent_classes(kept, "pixels")


def hold_colors_alone(masks: Masks) -> bool:
    """Whether every mask that can be read holds colours: none is then the odd one out."""
    readable = [facts for found in masks.values() for facts in found if all(facts.size)]
    return bool(readable) and all(facts.fault == "color_mask" for facts in readable)


def _sum(pixels: Iterable[Mapping[int, int]]) -> Counter[int]:
    totals: Counter[int] = Counter()
    for each in pixels:
        totals.update(each)
    return totals


def _by_name(names: Sequence[str], totals: Mapping[str, Mapping[int, int]]) -> Counts:
    return {
        split: {name: found.get(label, 0) for label, name in enumerate(names)}
        for split, found in totals.items()
    }
