"""The best and the worst pictures of a set: ground truth beside prediction."""

from collections.abc import Callable, Sequence
from typing import NamedTuple
from xml.etree.ElementTree import Element

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from mnv2_dense.detection.draw import draw_detections, draw_targets
from mnv2_dense.detection.index import DetectionIndex
from mnv2_dense.drawing import Picture, class_palette, hatch
from mnv2_dense.pages.embedding import embed
from mnv2_dense.pages.markup import count_of, element
from mnv2_dense.reporting.parts import card, hint, named, section
from mnv2_dense.segmentation.draw import BACKGROUND, class_shares, tint
from mnv2_dense.segmentation.index import SegmentationIndex
from mnv2_dense.structures import IGNORE_INDEX, BoxTargets, Detections

SIDE = 360
"""Pixels of a picture's longer side."""

_OPACITY = 0.6
_WEIGHT = 1.6  # of lines and letters: pictures are shrunk to stand side by side
_NAMED_CLASSES = 8
"""That the description of a picture lists."""


class Shown(NamedTuple):
    """A picture with what should be seen in it and what was.

    Attributes:
        name: Of the picture.
        verdict: Its score, and what it comes from.
        truth: With its ground truth.
        prediction: With what the network sees.
        told: Both in words.
        labels: Of the classes in it, true or predicted, where they are told by their colours.
    """

    name: str
    verdict: str
    truth: Picture
    prediction: Picture
    told: tuple[str, str]
    labels: tuple[int, ...] = ()


def show_boxes(
    index: DetectionIndex, position: int, found: Detections, threshold: float, verdict: str
) -> Shown:
    """A picture of a detector's set.

    Args:
        index: The set.
        position: Of the picture.
        found: Its detections, in its pixels.
        threshold: Least score of those that are drawn.
        verdict: See `Shown`.

    Raises:
        UserError: The picture cannot be read.
    """
    names = [category.name for category in index.categories]
    image = index.image(position)
    small = _resize(image, cv2.INTER_AREA)
    scale = _scale(small, image)
    targets = index.targets(position)
    kept = found.scores >= threshold
    own = BoxTargets(targets.boxes * scale, targets.labels)
    seen = Detections(found.boxes[kept] * scale, found.scores[kept], found.labels[kept])
    return Shown(
        index.file_names[position],
        verdict,
        draw_targets(small, own, names, _WEIGHT),
        draw_detections(small, seen, names, weight=_WEIGHT),
        (_count(targets.labels.tolist(), names), _count(seen.labels.tolist(), names)),
    )


def show_label_maps(
    index: SegmentationIndex,
    position: int,
    see: Callable[[Picture], NDArray[np.uint8]],
    verdict: str,
) -> Shown:
    """A picture of a segmenter's set; void is hatched in its ground truth.

    Args:
        index: The set.
        position: Of the picture.
        see: Gives the label map of a picture.
        verdict: See `Shown`.

    Raises:
        UserError: The picture or its mask cannot be read.
    """
    names = [category.name for category in index.categories]
    image, reference = index.image(position), index.label_map(position)
    predicted = see(image)
    small = _resize(image, cv2.INTER_AREA)
    true, seen = (_resize(labels, cv2.INTER_NEAREST) for labels in (reference, predicted))
    hatched = hatch(small, true == IGNORE_INDEX)
    present = np.union1d(np.unique(true), np.unique(seen))
    return Shown(
        index.image_id(position),
        verdict,
        tint(hatched, true, names, _OPACITY),
        tint(small, seen, names, _OPACITY),
        (_list_shares(reference, names), _list_shares(predicted, names)),
        tuple(int(label) for label in present if label != IGNORE_INDEX),
    )


def draw_pictures(
    best: Sequence[Shown], worst: Sequence[Shown], names: Sequence[str], how: str
) -> Element:
    """The section of pictures.

    Args:
        best: The best one first.
        worst: The worst one first.
        names: Of the classes.
        how: What their score is.
    """
    labels = sorted({label for shown in (*best, *worst) for label in shown.labels})
    parts = [hint(f"{how} Left the ground truth, right the prediction.")]
    if labels:
        parts.append(_legend(labels, names))
    for title, pictures in (("Worst", worst), ("Best", best)):
        if pictures:
            figures = element("div", *map(_figure, pictures), class_="pairs")
            parts.append(card(element("h3", title), figures))
    return section("Pictures", *parts, key="pictures")


def _figure(shown: Shown) -> Element:
    sides = (
        _image(picture, f"{what} of {shown.name}: {words}")
        for picture, what, words in (
            (shown.truth, "Ground truth", shown.told[0]),
            (shown.prediction, "Prediction", shown.told[1]),
        )
    )
    caption = element("figcaption", element("b", named(shown.name)), element("span", shown.verdict))
    return element("figure", element("div", *sides, class_="both"), caption)


def _image(picture: Picture, words: str) -> Element:
    height, width = picture.shape[:2]
    source = embed(Image.fromarray(picture))
    return element("img", src=source, alt=words, width=width, height=height)


def _legend(labels: Sequence[int], names: Sequence[str]) -> Element:
    """The colours of classes, which are those of label maps."""
    palette = class_palette()
    entries = []
    for label in labels:
        color = "#{:02x}{:02x}{:02x}".format(*palette[label])
        square = element(
            "rect", x=0.5, y=0.5, width=11, height=11, rx=2, fill=color, class_="swatch"
        )
        if names[label] == BACKGROUND:
            square.set("fill", "none")
        key = element("svg", square, class_="key", viewBox="0 0 12 12", aria_hidden="true")
        entries.append(element("li", key, named(names[label])))
    return element("ul", *entries, class_="legend")


def _resize(picture: NDArray[np.uint8], how: int) -> NDArray[np.uint8]:
    """A picture or label map whose longer side is `SIDE`; nothing is smoothed where it grows."""
    factor = SIDE / max(picture.shape[:2])
    height, width = (max(1, round(side * factor)) for side in picture.shape[:2])
    method = cv2.INTER_NEAREST if factor > 1 else how
    return np.asarray(cv2.resize(picture, (width, height), interpolation=method), dtype=np.uint8)


def _scale(small: Picture, image: Picture) -> Tensor:
    """Factors of x, y, x, y between two sizes of a picture."""
    height, width = (a / b for a, b in zip(small.shape[:2], image.shape[:2], strict=True))
    return torch.tensor([width, height, width, height])


def _count(labels: Sequence[int], names: Sequence[str]) -> str:
    counts = sorted(((labels.count(label), label) for label in set(labels)), reverse=True)
    listed = [count_of(count, names[label]) for count, label in counts[:_NAMED_CLASSES]]
    more = len(counts) - len(listed)
    return ", ".join([*listed, *([f"{more} more classes"] if more > 0 else [])]) or "nothing"


def _list_shares(label_map: NDArray[np.uint8], names: Sequence[str]) -> str:
    shares = list(class_shares(label_map, names).items())
    listed = [f"{name} {share:.0%}" for name, share in shares[:_NAMED_CLASSES]]
    more = len(shares) - len(listed)
    return ", ".join([*listed, *([f"{more} more classes"] if more > 0 else [])]) or "only void"
