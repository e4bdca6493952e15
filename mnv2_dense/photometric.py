"""Random changes of a picture's colours in training, the same for every task."""

import random
from collections.abc import Callable

import cv2
import numpy as np

BRIGHTNESS_DELTA = 32.0
FACTOR_RANGE = (0.5, 1.5)
HUE_DELTA_DEGREES = 18.0

Distortion = Callable[[np.ndarray, float], np.ndarray]


class PhotometricDistortion:
    """Brightness, contrast, saturation and hue, in random order, each with its own chance.

    Brightness moves by up to 32 of 255, contrast and saturation are multiplied by 0.5 to 1.5,
    hue turns by up to 18 degrees. Source: SSD's released data layer (distort_param).

    Args:
        probability: Chance of each of the four.
    """

    def __init__(self, probability: float) -> None:
        self.probability = probability

    def __call__(self, image: np.ndarray, generator: random.Random) -> np.ndarray:
        """The distorted picture; the given one is not changed.

        Args:
            image: uint8 RGB [H, W, 3].
            generator: Decides every random choice of this call.
        """
        for distort, amount in self._draw(generator):
            image = distort(image, amount)
        return image

    def _draw(self, generator: random.Random) -> list[tuple[Distortion, float]]:
        """The distortions to apply, in their order, each with its amount."""
        if not self.probability:
            return []
        steps: list[tuple[Distortion, float]] = [
            (_brightness, generator.uniform(-BRIGHTNESS_DELTA, BRIGHTNESS_DELTA)),
            (_contrast, generator.uniform(*FACTOR_RANGE)),
            (_saturation, generator.uniform(*FACTOR_RANGE)),
            (_hue, generator.uniform(-HUE_DELTA_DEGREES, HUE_DELTA_DEGREES)),
        ]
        generator.shuffle(steps)
        return [step for step in steps if generator.random() < self.probability]


def _brightness(image: np.ndarray, delta: float) -> np.ndarray:
    return cv2.LUT(image, _table(np.arange(256) + delta))


def _contrast(image: np.ndarray, factor: float) -> np.ndarray:
    return cv2.LUT(image, _table(np.arange(256) * factor))


def _saturation(image: np.ndarray, factor: float) -> np.ndarray:
    return _map_hsv_channel(image, 1, _table(np.arange(256) * factor))


def _hue(image: np.ndarray, degrees: float) -> np.ndarray:
    # OpenCV's uint8 hue counts steps of two degrees, 0-179.
    return _map_hsv_channel(image, 0, _table((np.arange(256) + round(degrees / 2)) % 180))


def _map_hsv_channel(image: np.ndarray, channel: int, table: np.ndarray) -> np.ndarray:
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
    tables = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
    tables[:, channel] = table
    return cv2.cvtColor(cv2.LUT(hsv, tables[None]), cv2.COLOR_HSV2RGB)


def _table(values: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
