"""Colours and textures: what covers a shape or a piece of the background."""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]
"""A texture [H, W] in [0, 1]: 0 takes the first colour, 1 the second."""
Colour = NDArray[np.float32]
"""RGB, 0 to 255."""

PERIOD_RANGE = (4.0, 14.0)
COLOUR_TRIES = 8
MIXTURES = np.linspace(0, 1, 256, dtype=np.float32)[:, None]


def draw_colour(rng: np.random.Generator, away_from: Colour, contrast: float) -> Colour:
    """A random colour at least `contrast` (Euclidean in RGB) from another, if one is met.

    Of `COLOUR_TRIES` candidates the first that is far enough, otherwise the farthest.
    """
    candidates = rng.uniform(0, 255, (COLOUR_TRIES, 3)).astype(np.float32)
    distances = np.sqrt(np.square(candidates - away_from).sum(axis=1))
    chosen = distances.argmax() if distances.max() < contrast else (distances >= contrast).argmax()
    return candidates[chosen]


def mix(field: Field, first: Colour, second: Colour) -> NDArray[np.uint8]:
    """The picture [H, W, 3] of a texture in two colours.

    It goes through a table of 256 mixtures: five times faster than arithmetic per channel.
    """
    table = np.round(first + MIXTURES * (second - first)).astype(np.uint8)
    level = cv2.convertScaleAbs(field, alpha=255)
    return np.asarray(cv2.LUT(cv2.merge([level, level, level]), table[None]), dtype=np.uint8)


def draw_texture(rng: np.random.Generator, height: int, width: int) -> Field:
    """A random texture: flat, stripes, checks, dots, gradient, clouds or speckles."""
    return TEXTURES[rng.integers(len(TEXTURES))](rng, height, width)


def draw_clouds(rng: np.random.Generator, height: int, width: int) -> Field:
    """Smooth noise whose blobs span a random share of the piece."""
    cells = int(rng.integers(3, 9))
    grid = rng.random((cells, cells), dtype=np.float32)
    clouds = cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(np.asarray(clouds, dtype=np.float32), 0, 1)


def _flat(rng: np.random.Generator, height: int, width: int) -> Field:
    del rng
    return np.zeros((height, width), dtype=np.float32)


def _speckles(rng: np.random.Generator, height: int, width: int) -> Field:
    return rng.random((height, width), dtype=np.float32)


def _turned_axes(rng: np.random.Generator, height: int, width: int) -> tuple[Field, Field]:
    """Pixel coordinates along two axes at right angles, turned and shifted at random."""
    angle = rng.uniform(0, np.pi)
    x = (rng.uniform(0, 100) + np.arange(width)).astype(np.float32)[None, :]
    y = (rng.uniform(0, 100) + np.arange(height)).astype(np.float32)[:, None]
    across, down = np.array([np.cos(angle), np.sin(angle)], dtype=np.float32)
    return x * across + y * down, y * across - x * down


def _halves(rng: np.random.Generator, height: int, width: int) -> tuple[Field, Field]:
    """Position [-0.5, 0.5) within the period of a random grid, along both axes."""
    period = np.float32(rng.uniform(*PERIOD_RANGE))
    u, v = _turned_axes(rng, height, width)
    u, v = u / period, v / period
    return u - np.floor(u) - np.float32(0.5), v - np.floor(v) - np.float32(0.5)


def _stripes(rng: np.random.Generator, height: int, width: int) -> Field:
    return (_halves(rng, height, width)[0] > 0).astype(np.float32)


def _checks(rng: np.random.Generator, height: int, width: int) -> Field:
    u, v = _halves(rng, height, width)
    return ((u > 0) ^ (v > 0)).astype(np.float32)


def _dots(rng: np.random.Generator, height: int, width: int) -> Field:
    u, v = _halves(rng, height, width)
    return (u * u + v * v < 0.09).astype(np.float32)


def _gradient(rng: np.random.Generator, height: int, width: int) -> Field:
    u = _turned_axes(rng, height, width)[0]
    low, high = u.min(), u.max()
    return (u - low) / max(high - low, np.float32(1))


TEXTURES: tuple[Callable[[np.random.Generator, int, int], Field], ...] = (
    _flat, _stripes, _checks, _dots, _gradient, draw_clouds, _speckles,
)  # fmt: skip
