"""Counts over bins that do not depend on the data, so that two reports can be compared."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np

from mnv2_dense.inspection.report import Histogram
from mnv2_dense.structures import ImageSize

BOX_SIZES = (8.0, 16.0, 32.0, 64.0, 128.0, 256.0)
RATIOS = (0.2, 0.33, 0.5, 0.75, 1.33, 2.0, 3.0, 5.0)
IOUS = tuple(number / 10 for number in range(1, 10))
PICTURE_SIDES = (160.0, 320.0, 480.0, 640.0, 960.0, 1280.0, 1920.0)


def histogram(
    title: str, edges: Sequence[float], values: Mapping[str, Sequence[float] | np.ndarray]
) -> Histogram:
    """Counts by split between the edges, and below the first and from the last one on."""
    between = [f"{low:g} - {high:g}" for low, high in pairwise(edges)]
    labels = [f"< {edges[0]:g}", *between, f">= {edges[-1]:g}"]
    counts = {
        split: np.bincount(
            np.digitize(np.asarray(found, dtype=np.float64), edges), minlength=len(labels)
        ).tolist()
        for split, found in values.items()
    }
    return Histogram(title, labels, counts)


def class_histogram(title: str, counts: Mapping[str, Mapping[str, int]]) -> Histogram:
    """Counts by split and class, in the order of the classes."""
    names = list(dict.fromkeys(name for each in counts.values() for name in each))
    by_split = {
        split: [each.get(name, 0) for name in names] for split, each in counts.items()
    }  # fmt: skip
    return Histogram(title, names, by_split, ordered=False)


def picture_sizes(sizes: Mapping[str, Sequence[ImageSize]]) -> Histogram:
    """Longer sides of the pictures that could be read."""
    sides = {split: [max(size) for size in found] for split, found in sizes.items()}
    return histogram("Picture size (longer side, pixels)", PICTURE_SIDES, sides)
