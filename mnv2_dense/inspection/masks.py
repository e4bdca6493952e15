"""Mask files, each decoded once: which classes they hold, and what is wrong with them."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from mnv2_dense.drawing import Picture, class_palette
from mnv2_dense.errors import UserError
from mnv2_dense.formats.problems import Level, Problem
from mnv2_dense.image_files import find_images
from mnv2_dense.images import open_image
from mnv2_dense.inspection.findings import Finding
from mnv2_dense.segmentation.masks import EXACT_FORMATS, MaskRule, read_mask
from mnv2_dense.structures import IGNORE_INDEX, ImageSize

FOREIGN = (255, 0, 255)
"""Colour in which values that are no class are drawn."""

_VOID = (224, 224, 192)
_GROWN = 60
"""Foreign values are drawn larger by this part of the mask's longer side."""

FAULTS = {
    "missing_mask": "masks that are missing:",
    "unreadable_mask": "masks that cannot be read:",
    "inexact_mask": "masks of a format that changes values:",
    "color_mask": "masks of colours where class values are expected:",
    "foreign_value": "masks with values or colours that no class has:",
}


class MaskFacts(NamedTuple):
    """What a mask holds.

    Attributes:
        path: The file.
        fault: Kind of the problem that keeps it from being used, a key of `FAULTS`; or empty.
        error: What the reader says of it.
        size: Of the mask; zero if it cannot be read.
        pixels: By label; void is `IGNORE_INDEX`.
    """

    path: Path
    fault: str = ""
    error: str = ""
    size: ImageSize = ImageSize(0, 0)
    pixels: dict[int, int] = {}  # noqa: RUF012  never changed


def scan_mask(path: Path, rule: MaskRule) -> MaskFacts:
    """What a mask holds; what cannot be used is said, not raised."""
    try:
        return count_labels(path, read_mask(path, rule))
    except UserError as error:
        return _faulty(path, rule, error)


def count_labels(path: Path, label_map: np.ndarray) -> MaskFacts:
    """What a label map [H, W] holds."""
    counts = np.bincount(label_map.ravel(), minlength=IGNORE_INDEX + 1)
    labels = np.flatnonzero(counts).tolist()
    pixels = {label: int(counts[label]) for label in labels}
    return MaskFacts(path, size=ImageSize(*label_map.shape), pixels=pixels)


def _faulty(path: Path, rule: MaskRule, error: UserError) -> MaskFacts:
    """A reader that was not stopped by the decoder says what is wrong with the content."""
    if isinstance(error.__cause__, FileNotFoundError):
        return MaskFacts(path, "missing_mask", str(error))
    if error.__cause__ is not None:
        return MaskFacts(path, "unreadable_mask", str(error))
    with open_image(path) as image:
        size = ImageSize(image.height, image.width)
        exact = image.format in EXACT_FORMATS
        values = image.mode in ("1", "L", "P") or image.mode.startswith("I")
    if not exact:
        return MaskFacts(path, "inexact_mask", str(error), size)
    kind = "foreign_value" if values or rule.colors is not None else "color_mask"
    return MaskFacts(path, kind, str(error), size)


def mask_findings(
    masks: Iterable[tuple[Path, MaskFacts]], split: str, level: Level
) -> Iterator[Finding]:
    """What is wrong with the masks of a split.

    Args:
        masks: Every picture and its mask.
        split: `train` or `val`.
        level: Of a mask that cannot be used.
    """
    for picture, facts in masks:
        shown = (picture,), (), (facts.path,)
        if facts.fault:
            problem = Problem(facts.fault, level, FAULTS[facts.fault], facts.error)
            yield Finding(problem, *shown)
            continue
        labels = facts.pixels.keys() - {IGNORE_INDEX}
        if not labels:
            title = f"{split}: masks of void alone, from which nothing is learnt:"
            problem = Problem("void_mask", Level.PROBLEM, title, str(facts.path))
            yield Finding(problem, *shown)
        elif len(labels) == 1:
            title = f"{split}: masks of one class alone:"
            place = f"{facts.path} (value {min(labels)})"
            yield Finding(Problem("one_class_mask", Level.NOTE, title, place), *shown)


def unused_masks(folder: Path, used: Iterable[Path], suffix: str, listed: bool) -> list[Finding]:
    """Masks in the folder that belong to no picture.

    Args:
        folder: Where the masks are.
        used: Masks of all splits, by their pictures.
        suffix: End of the masks' names.
        listed: Whether lists choose pictures: other masks are then left out on purpose.
    """
    known = {path.resolve() for path in used}
    level = Level.NOTE if listed else Level.PROBLEM
    title = f"{folder}: masks without a picture that is used:"
    try:
        found = find_images(folder)
    except UserError:  # A folder without any mask: every picture lacks one, which is said.
        return []
    return [
        Finding(Problem("unused_mask", level, title, path.relative_to(folder).as_posix()))
        for path in found
        if path.name.endswith(suffix) and path.resolve() not in known
    ]


def draw_mask(path: Path, rule: MaskRule) -> Picture:
    """A mask in the colours of its classes, foreign values in `FOREIGN`; colours as they are.

    Raises:
        UserError: It cannot be read.
    """
    with open_image(path) as image:
        if rule.colors is not None or image.mode not in ("1", "L", "P"):
            return np.array(image.convert("RGB"))
        values = np.asarray(image).astype(np.uint8)
    drawn = np.array(class_palette(), np.uint8)[values]
    drawn[values == rule.ignore_index] = _VOID
    count = len(rule.labels) if rule.labels is not None else rule.num_classes
    foreign = ((values >= count) & (values != rule.ignore_index)).astype(np.uint8)
    # A single pixel would not be seen in a thumbnail.
    grown = 2 * (max(values.shape) // _GROWN) + 1
    drawn[cv2.dilate(foreign, np.ones((grown, grown), np.uint8)) > 0] = FOREIGN
    return drawn
