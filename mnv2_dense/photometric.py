"""Random changes of a picture's colours in training, the same for every task."""

import random
from typing import NamedTuple

import cv2
import numpy as np

BRIGHTNESS_DELTA = 32
FACTOR_RANGE = (0.5, 1.5)
HUE_DELTA_DEGREES = 18
HUE_STEPS = 180
"""OpenCV's uint8 hue counts steps of two degrees."""
_PARTS = 256
"""Factors are drawn in such parts: their products with uint8 are exact, on every device."""


class Distortion(NamedTuple):
    """What is done to a picture's colours: first to its RGB values, then, if asked, in HSV.

    All of it is in numbers that float32 multiplies with uint8 exactly, so that every device gets
    the same picture.

    Attributes:
        brightness: Added to the RGB values; a whole number.
        contrast: They are multiplied by it then.
        hue: Added to the hue, in steps of two degrees; a whole number.
        saturation: Factor on the saturation.
        value: Factor on the value: the contrast, where it was drawn to come last.
    """

    brightness: float = 0.0
    contrast: float = 1.0
    hue: float = 0.0
    saturation: float = 1.0
    value: float = 1.0


class PhotometricDistortion:
    """Brightness, contrast, saturation and hue, each with its own chance.

    Brightness moves by up to 32 of 255, contrast and saturation are multiplied by 0.5 to 1.5,
    hue turns by up to 18 degrees. Contrast comes before saturation and hue, or after them, each
    half of the time. Source: SSD's released data layer (distort_param).
    Differs from the release: contrast that comes last multiplies HSV's value, which keeps the hue
    of colours that it makes too bright; one way to HSV and back is enough.

    Args:
        probability: Chance of each of the four.
    """

    def __init__(self, probability: float) -> None:
        self.probability = probability

    def __call__(self, image: np.ndarray, seed: int) -> np.ndarray:
        """The distorted picture; the given one is not changed.

        Args:
            image: uint8 RGB [H, W, 3].
            seed: Decides every random choice of this call.
        """
        return distort(image, self.draw(seed))

    def draw(self, seed: int) -> Distortion:
        """What the seed says is to be done."""
        # Not the numbers that the seed gives to crop and flip.
        generator = random.Random(f"colours {seed}")
        contrast_last = generator.random() < 0.5
        drawn = Distortion(
            brightness=round(generator.uniform(-BRIGHTNESS_DELTA, BRIGHTNESS_DELTA)),
            contrast=_draw_factor(generator),
            hue=round(generator.uniform(-HUE_DELTA_DEGREES, HUE_DELTA_DEGREES) / 2),
            saturation=_draw_factor(generator),
        )
        taken = {
            name: amount
            for name, amount in drawn._asdict().items()
            if name != "value" and generator.random() < self.probability
        }
        if contrast_last and in_hsv(Distortion(**taken)):
            taken["value"] = taken.pop("contrast", 1.0)
        return Distortion(**taken)


def in_hsv(distortion: Distortion) -> bool:
    """Whether any of it is done in HSV."""
    return distortion.hue != 0 or distortion.saturation != 1


def distort(image: np.ndarray, distortion: Distortion) -> np.ndarray:
    """A picture, uint8 RGB [H, W, 3], with its colours distorted."""
    levels = np.arange(256)
    if distortion.brightness or distortion.contrast != 1:
        brighter = np.clip(levels + distortion.brightness, 0, 255)
        image = cv2.LUT(image, _table(brighter * distortion.contrast))
    if not in_hsv(distortion):
        return image
    tables = np.empty((1, 256, 3), np.uint8)
    tables[0, :, 0] = (levels + distortion.hue) % HUE_STEPS
    tables[0, :, 1] = _table(levels * distortion.saturation)
    tables[0, :, 2] = _table(levels * distortion.value)
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
    return cv2.cvtColor(cv2.LUT(hsv, tables), cv2.COLOR_HSV2RGB)


def _draw_factor(generator: random.Random) -> float:
    return round(generator.uniform(*FACTOR_RANGE) * _PARTS) / _PARTS


def _table(values: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
