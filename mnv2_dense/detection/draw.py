"""Boxes drawn on pictures, for people to look at."""

import colorsys
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from mnv2_dense.drawing import Picture
from mnv2_dense.structures import BoxTargets

GOLDEN_RATIO = 0.618034
_SMALLEST_TEXT = 10  # pixels
_ROWS_PER_LETTER = 48
_LUMINANCE, _GAMMA = (0.2126, 0.7152, 0.0722), 2.2  # of red, green and blue, about sRGB's
_EQUAL_CONTRAST = 0.179  # (L + 0.05) / 0.05 = 1.05 / (L + 0.05)


class Found(Protocol):
    """Boxes with scores, as tensors on the CPU or as arrays."""

    @property
    def boxes(self) -> Any:
        """[N, 4] xyxy in pixels."""
        ...

    @property
    def scores(self) -> Any:
        """[N], in [0, 1]."""
        ...

    @property
    def labels(self) -> Any:
        """[N], positions in the list of names."""
        ...


def draw_detections(
    image: Picture,
    detections: Found,
    names: Sequence[str],
    score_threshold: float = 0.0,
    weight: float = 1.0,
) -> Picture:
    """A copy of image [H, W, 3] with the boxes that reach the threshold, named and scored.

    Lines and letters are `weight` times as large as usual.
    """
    kept = np.asarray(detections.scores) >= score_threshold
    labels = np.asarray(detections.labels)[kept].tolist()
    scores = np.asarray(detections.scores)[kept].tolist()
    captions = [f"{names[label]} {score:.2f}" for label, score in zip(labels, scores, strict=True)]
    return _draw(image, np.asarray(detections.boxes)[kept], labels, captions, weight)


def draw_targets(
    image: Picture, targets: BoxTargets, names: Sequence[str], weight: float = 1.0
) -> Picture:
    """A copy of image [H, W, 3] with the ground truth boxes, named.

    Lines and letters are `weight` times as large as usual.
    """
    labels = targets.labels.tolist()
    captions = [names[label] for label in labels]
    return _draw(image, np.asarray(targets.boxes), labels, captions, weight)


def label_color(label: int) -> tuple[int, int, int]:
    """A bright colour per class; neighbours in the list differ."""
    red, green, blue = colorsys.hsv_to_rgb(label * GOLDEN_RATIO % 1, 0.85, 1.0)
    return round(red * 255), round(green * 255), round(blue * 255)


def text_color(color: tuple[int, int, int]) -> str:
    """Black or white, whichever can be read on a colour: that of the higher contrast by WCAG 2."""
    luminance = sum(
        factor * (value / 255) ** _GAMMA for factor, value in zip(_LUMINANCE, color, strict=True)
    )
    return "black" if luminance > _EQUAL_CONTRAST else "white"


def _draw(
    image: Picture,
    boxes: NDArray[np.float32],
    labels: Sequence[int],
    captions: Sequence[str],
    weight: float,
) -> Picture:
    """Boxes and captions, the first of them on top."""
    canvas = Image.fromarray(image)
    pen = ImageDraw.Draw(canvas)
    height, width = image.shape[:2]
    line = max(1, round(weight * max(height, width) / 320))
    letters = max(_SMALLEST_TEXT, max(height, width) // _ROWS_PER_LETTER)
    font = ImageFont.load_default(round(weight * letters))
    inside = boxes.clip(0, [width - 1, height - 1] * 2).tolist()
    marked = list(zip(inside, map(label_color, labels), captions, strict=True))[::-1]
    for box, color, _ in marked:
        pen.rectangle(box, outline=color, width=line)
    for (left, top, _, _), color, caption in marked:
        place = (left + line, top + line)
        pen.rectangle(pen.textbbox(place, caption, font), fill=color)
        pen.text(place, caption, text_color(color), font)
    return np.array(canvas)
