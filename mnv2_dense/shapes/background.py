"""What lies behind the objects: textured areas and things that belong to no class."""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from mnv2_dense.shapes.difficulty import Difficulty
from mnv2_dense.shapes.paint import Colour, draw_clouds, draw_texture, mix

Picture = NDArray[np.uint8]

BLOB_ANGLES = np.linspace(0, 2 * np.pi, 24, endpoint=False)


def draw_background(rng: np.random.Generator, size: int, difficulty: Difficulty) -> Picture:
    """A cluttered picture [size, size, 3] uint8 RGB without any object."""
    base = rng.uniform(*difficulty.background_level, 3).astype(np.float32)
    second = _near(rng, base, difficulty)
    picture = mix(draw_clouds(rng, size, size), base, second)
    for _ in range(rng.integers(*difficulty.patches, endpoint=True)):
        _draw_patch(rng, picture, base, difficulty)
    for _ in range(rng.integers(*difficulty.clutter, endpoint=True)):
        draw = CLUTTER[rng.integers(len(CLUTTER))]
        colour = rng.uniform(*difficulty.background_level, 3)
        draw(rng, picture, tuple(int(value) for value in colour))
    return picture


def _near(rng: np.random.Generator, base: Colour, difficulty: Difficulty) -> Colour:
    """A colour part of the way from the base to a random one."""
    other = rng.uniform(*difficulty.background_level, 3).astype(np.float32)
    share = difficulty.background_strength * rng.uniform(0.3, 1)
    return (base + share * (other - base)).astype(np.float32)


def _blob(
    rng: np.random.Generator, centre: NDArray[np.float64], radius: float
) -> NDArray[np.int32]:
    """Corners of an irregular outline: a flattened circle with three random waves.

    It is never round enough to be taken for the class disc.
    """
    radii = np.full_like(BLOB_ANGLES, radius)
    for k in (2, 3, 5):
        wave = np.cos(k * BLOB_ANGLES + rng.uniform(0, 2 * np.pi))
        radii += radius * rng.uniform(0.2, 0.5) / k * wave
    rays = np.stack([np.cos(BLOB_ANGLES), rng.uniform(0.4, 0.7) * np.sin(BLOB_ANGLES)], axis=1)
    return (centre + radii[:, None] * rays).astype(np.int32)


def _draw_patch(
    rng: np.random.Generator, picture: Picture, base: Colour, difficulty: Difficulty
) -> None:
    """Covers a large area with a texture near the base colour, in place."""
    size = len(picture)
    corners = _blob(rng, rng.uniform(0, size, 2), size * rng.uniform(0.2, 0.6))
    x, y, width, height = cv2.boundingRect(corners)
    left, top, right, bottom = max(x, 0), max(y, 0), min(x + width, size), min(y + height, size)
    if left >= right or top >= bottom:
        return
    covered = np.zeros((bottom - top, right - left), dtype=np.uint8)
    cv2.fillPoly(covered, [corners - np.array([left, top], dtype=np.int32)], 1)
    first = _near(rng, base, difficulty)
    second = _near(rng, base, difficulty)
    paint = mix(draw_texture(rng, *covered.shape), first, second)
    cv2.copyTo(paint, covered, picture[top:bottom, left:right])


Ink = tuple[int, ...]


def _point(rng: np.random.Generator, size: int) -> tuple[int, int]:
    x, y = rng.integers(0, size, 2)
    return int(x), int(y)


def _line(rng: np.random.Generator, picture: Picture, ink: Ink) -> None:
    size = len(picture)
    thickness = int(rng.integers(1, 4))
    cv2.line(picture, _point(rng, size), _point(rng, size), ink, thickness, cv2.LINE_AA)


def _arc(rng: np.random.Generator, picture: Picture, ink: Ink) -> None:
    size = len(picture)
    axes = tuple(int(value) for value in rng.integers(size // 16, size // 3, 2))
    # At most 200 degrees: a closed one would be a ring.
    turn, start, span = rng.uniform(0, 360), rng.uniform(0, 360), rng.uniform(40, 200)
    centre, thickness = _point(rng, size), int(rng.integers(1, 4))
    cv2.ellipse(picture, centre, axes, turn, start, start + span, ink, thickness, cv2.LINE_AA)


def _zigzag(rng: np.random.Generator, picture: Picture, ink: Ink) -> None:
    size = len(picture)
    steps = np.cumsum(rng.integers(-size // 8, size // 8, (5, 2)), axis=0)
    corners = (np.array(_point(rng, size)) + steps).astype(np.int32)
    cv2.polylines(picture, [corners], False, ink, int(rng.integers(1, 4)), cv2.LINE_AA)


def _bar(rng: np.random.Generator, picture: Picture, ink: Ink) -> None:
    """A rectangle too long (1:5 and more) to be taken for the class square."""
    length = len(picture) * rng.uniform(0.1, 0.4)
    box = (_point(rng, len(picture)), (length, length / rng.uniform(5, 9)), rng.uniform(0, 180))
    corners = np.round(cv2.boxPoints(box)).astype(np.int32)
    cv2.fillConvexPoly(picture, corners, ink, cv2.LINE_AA)


def _small_blob(rng: np.random.Generator, picture: Picture, ink: Ink) -> None:
    size = len(picture)
    corners = _blob(rng, rng.uniform(0, size, 2), size * rng.uniform(0.02, 0.09))
    cv2.fillPoly(picture, [corners], ink, cv2.LINE_AA)


CLUTTER: tuple[Callable[[np.random.Generator, Picture, Ink], None], ...] = (
    _line, _arc, _zigzag, _bar, _small_blob,
)  # fmt: skip
