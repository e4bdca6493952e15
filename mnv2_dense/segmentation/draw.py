"""Label maps drawn for people to look at, and written for programs to read."""

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from mnv2_dense.drawing import Picture, class_palette, side_by_side
from mnv2_dense.segmentation.scoring import class_keys
from mnv2_dense.structures import IGNORE_INDEX

LabelMap = NDArray[np.uint8]

_SMALLEST_TEXT = 12  # pixels
_ROWS_PER_LETTER = 40  # a picture of 480 rows gets letters of 12 pixels
_CONTOUR = 255

BACKGROUND = "background"
"""Name of the class that is not tinted: it says that nothing of interest is there."""


def class_shares(label_map: LabelMap, names: Sequence[str]) -> dict[str, float]:
    """Share of the picture of every class in it, largest first.

    Void pixels count neither as a class nor as part of the picture. Names are keyed as in
    `SegmentationScores`.

    Raises:
        ValueError: a label without a name.
    """
    keys = class_keys(names)
    return {keys[label]: share for label, share in _label_shares(label_map, len(names)).items()}


def draw_label_map(
    image: Picture, label_map: LabelMap, names: Sequence[str], opacity: float = 0.5
) -> Picture:
    """A copy of image [H, W, 3] under its classes' colours, with a legend at its right.

    Void and a class named "background" stay as they are; a white line runs where classes meet.
    The legend lists the classes in the picture with their shares, largest first; where it is
    longer than the picture, white is added below the picture.

    Raises:
        ValueError: the label map is not of the picture's size, or holds a label without a name.
    """
    tinted = tint(image, label_map, names, opacity)
    shares = _label_shares(label_map, len(names))
    keys = class_keys(names)
    legend = _draw_legend({label: (keys[label], share) for label, share in shares.items()},
                          max(_SMALLEST_TEXT, len(image) // _ROWS_PER_LETTER))  # fmt: skip
    return side_by_side(tinted, legend)


def tint(
    image: Picture, label_map: LabelMap, names: Sequence[str], opacity: float = 0.5
) -> Picture:
    """The same without the legend, of the picture's size.

    Raises:
        ValueError: the label map is not of the picture's size.
    """
    if image.shape[:2] != label_map.shape:
        raise ValueError(f"a label map of {label_map.shape} for a picture of {image.shape[:2]}")
    plain = [label for label, name in enumerate(names) if name == BACKGROUND]
    return _blend(image, label_map, opacity, plain)


def _label_shares(label_map: LabelMap, num_classes: int) -> dict[int, float]:
    """Shares by label, largest first."""
    # Pillow counts in place; numpy's bincount would first make eight bytes of every pixel.
    counts = Image.fromarray(np.ascontiguousarray(label_map)).histogram()
    counts[IGNORE_INDEX] = 0
    present = [label for label, count in enumerate(counts) if count]
    if present and present[-1] >= num_classes:
        raise ValueError(f"label {present[-1]} in a label map of {num_classes} classes")
    total = sum(counts)
    present.sort(key=lambda label: -counts[label])
    return {label: counts[label] / total for label in present}


def _blend(image: Picture, label_map: LabelMap, opacity: float, plain: Sequence[int]) -> Picture:
    colors = np.array(class_palette(), np.uint8)[label_map]
    drawn = cv2.addWeighted(image, 1 - opacity, colors, opacity, 0).reshape(image.shape)
    unchanged = np.isin(label_map, plain)
    drawn[unchanged] = image[unchanged]
    contour = np.zeros(label_map.shape, bool)
    contour[:, :-1] |= label_map[:, :-1] != label_map[:, 1:]
    contour[:-1] |= label_map[:-1] != label_map[1:]
    drawn[contour] = _CONTOUR
    void = label_map == IGNORE_INDEX
    drawn[void] = image[void]
    return drawn.astype(np.uint8, copy=False)


def _draw_legend(entries: Mapping[int, tuple[str, float]], letter: int) -> Picture:
    """A swatch, the name and the share per label, a line each; letters in pixels."""
    font = ImageFont.load_default(letter)
    texts = {label: f"{name}  {_per_cent(share)}" for label, (name, share) in entries.items()}
    line, indent = 3 * letter // 2, 2 * letter
    width = indent + max((round(font.getlength(text)) for text in texts.values()), default=0)
    size = (width + letter // 2, max(1, line * len(texts)))
    legend = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(legend)
    colors = class_palette()
    for row, (label, text) in enumerate(texts.items()):
        top = row * line + letter // 4
        swatch = (letter // 4, top, letter // 4 + letter, top + letter)
        pen.rectangle(swatch, fill=colors[label], outline="black")
        pen.text((indent, row * line + line // 2), text, "black", font, anchor="lm")
    return np.array(legend)


def _per_cent(share: float) -> str:
    return f"{share:.1%}" if share >= 0.0005 else "< 0.1%"
