"""Pictures of the worst cases, small enough for a page."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import reduce
from pathlib import Path

import cv2
import numpy as np

from mnv2_dense.drawing import READABLE_SIDE, Picture, side_by_side
from mnv2_dense.errors import UserError
from mnv2_dense.images import read_image
from mnv2_dense.inspection.findings import Box, Finding
from mnv2_dense.inspection.report import Example

PER_KIND = 3
"""Examples of each kind of problem."""

_RED = (230, 0, 0)
_LINE = 2  # pixels
_SEEN = 24
"""Pixels of a thumbnail: boxes with shorter sides are shown enlarged."""
_WINDOW, _AROUND = 48, 6
"""The window around them: its side in pixels at least, and as a multiple of theirs."""
_MARGIN = 0.25
"""White around a picture that a box leaves, as a share of its longer side."""


def draw_examples(
    findings: Iterable[Finding],
    *,
    upright: bool = False,
    draw_mask: Callable[[Path], Picture] | None = None,
) -> list[Example]:
    """The first findings of every kind that can be drawn, boxes in red.

    Args:
        findings: All of them, in the order of their importance within a kind.
        upright: Whether the data's boxes and masks refer to pictures as EXIF turns them.
        draw_mask: A mask's file as a picture, where there are masks.
    """
    drawn: Counter[str] = Counter()
    examples: list[Example] = []
    for finding in findings:
        kind = finding.problem.kind
        if drawn[kind] == PER_KIND or not (finding.pictures or finding.masks):
            continue
        try:
            pictures = [read_image(path, upright=upright) for path in finding.pictures]
            masks = [draw_mask(path) for path in finding.masks] if draw_mask else []
        except UserError:  # It is in the report by itself.
            continue
        picture = _draw(pictures + masks, finding.boxes)
        problem = finding.problem
        # The title stands above all pictures of its kind.
        caption = finding.caption or problem.place or problem.title
        examples.append(Example(kind, caption, picture))
        drawn[kind] += 1
    return examples


def _draw(pictures: Sequence[Picture], boxes: Sequence[Box]) -> Picture:
    """Pictures beside each other, together no wider or higher than a thumbnail may be."""
    side = READABLE_SIDE // len(pictures)
    first = _draw_boxes(pictures[0], boxes, side) if boxes else _thumbnail(pictures[0], side)
    return reduce(side_by_side, [_thumbnail(each, side) for each in pictures[1:]], first)


def _thumbnail(picture: Picture, side: int) -> Picture:
    factor = min(1.0, side / max(picture.shape[:2]))
    height, width = (max(1, round(length * factor)) for length in picture.shape[:2])
    small = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(small, dtype=np.uint8)


def _draw_boxes(picture: Picture, boxes: Sequence[Box], side: int) -> Picture:
    finite = [box for box in boxes if np.isfinite(box).all()]
    picture, finite = _zoom(picture, finite, side)
    height, width = picture.shape[:2]
    leaves = any(min(box) < 0 or max(box[::2]) > width or max(box[1::2]) > height for box in finite)
    small = _thumbnail(picture, int(side / (1 + 2 * _MARGIN)) if leaves else side)
    margin = int(_MARGIN * max(small.shape[:2])) if leaves else 0
    scale = np.array([small.shape[1] / width, small.shape[0] / height] * 2)
    canvas = cv2.copyMakeBorder(
        small, *(margin,) * 4, borderType=cv2.BORDER_CONSTANT, value=(255, 255, 255)
    )
    for box in finite:
        # A box far outside ends at the edge of the canvas, where OpenCV's integers still reach.
        corners = np.clip(np.array(box) * scale + margin, 0, side - 1).round().astype(int)
        left, top, right, bottom = corners.tolist()
        cv2.rectangle(canvas, (left, top), (right, bottom), _RED, _LINE)
    return np.asarray(canvas, dtype=np.uint8)


def _zoom(picture: Picture, boxes: list[Box], side: int) -> tuple[Picture, list[Box]]:
    """A window of the picture, enlarged, if all boxes together could hardly be seen in it."""
    if not boxes:
        return picture, boxes
    size = np.array(picture.shape[1::-1])
    low, high = np.min(boxes, axis=0)[:2], np.max(boxes, axis=0)[2:]
    if (low < 0).any() or (high > size).any() or (high < low).any():
        return picture, boxes
    longest = float((high - low).max())
    if longest * min(1.0, side / size.max()) >= _SEEN:
        return picture, boxes
    window = np.minimum(size, max(_WINDOW, int(_AROUND * longest)))
    start = np.clip((low + high) / 2 - window / 2, 0, size - window).astype(int)
    (left, top), (right, bottom) = start, start + window
    factor = max(1, side // int(window.max()))
    cut = picture[top:bottom, left:right].repeat(factor, axis=0).repeat(factor, axis=1)
    moved = (np.array(boxes) - [left, top, left, top]) * factor
    return cut, [(x, y, right, bottom) for x, y, right, bottom in moved.tolist()]
