"""The classes of the built-in data set, each given by its outline; a colour only hints at it."""

import colorsys
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float32]
"""Corners [N, 2] of one closed line, x right and y down."""

CURVE_CORNERS = 40


class ShapeClass(NamedTuple):
    """A class: its category, and closed lines in [-1, 1]; a line inside another is a hole."""

    category_id: int
    name: str
    supercategory: str
    lines: tuple[Points, ...]


def turn_outline(
    shape: ShapeClass, *, extent: float, aspect: float, angle: float
) -> tuple[Points, ...]:
    """The outline stretched, then turned, then scaled.

    Args:
        shape: The class to draw.
        extent: Longer side of the upright bounding box of the result, in pixels.
        aspect: Width / height factor given to the outline before it is turned.
        angle: Turn in radians.

    Returns:
        Lines in pixels; the bounding box of all of them starts at (0, 0).
    """
    stretch = np.array([aspect**0.5, aspect**-0.5])
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    lines = [(line * stretch) @ turn for line in shape.lines]
    corners = np.concatenate(lines)
    low = corners.min(axis=0)
    scale = extent / (corners.max(axis=0) - low).max()
    return tuple(((line - low) * scale).astype(np.float32) for line in lines)


def _corners(*pairs: tuple[float, float]) -> Points:
    return np.array(pairs, dtype=np.float32)


def _arc(radius: float, start: float, stop: float, centre_x: float = 0.0) -> Points:
    """An arc between two angles in degrees, both ends included."""
    angles = np.radians(np.linspace(start, stop, CURVE_CORNERS))
    points = np.stack([centre_x + radius * np.cos(angles), radius * np.sin(angles)], axis=1)
    return points.astype(np.float32)


def _star(points: int, inner_radius: float) -> Points:
    angles = np.radians(-90 + np.arange(2 * points) * 180 / points)
    radii = np.where(np.arange(2 * points) % 2 == 0, 1.0, inner_radius)
    return np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=1).astype(np.float32)


def _heart() -> Points:
    t = np.linspace(0, 2 * np.pi, CURVE_CORNERS, endpoint=False)
    x = 16 * np.sin(t) ** 3
    y = -(13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t))
    return (np.stack([x, y], axis=1) / 17).astype(np.float32)


def _crescent() -> Points:
    outer = _arc(1.0, 50, 310)
    # The inner arc joins the outer one at its two ends, so the horns are sharp.
    horn_x, horn_y = outer[0]
    centre_x = 0.75
    radius = float(np.hypot(horn_x - centre_x, horn_y))
    half = float(np.degrees(np.arctan2(horn_y, horn_x - centre_x)))
    return np.concatenate([outer, _arc(radius, 360 - half, half, centre_x)])


def _plus(arm: float) -> Points:
    a = arm
    return _corners(
        (-a, -1), (a, -1), (a, -a), (1, -a), (1, a), (a, a),
        (a, 1), (-a, 1), (-a, a), (-1, a), (-1, -a), (-a, -a),
    )  # fmt: skip


def _arrow() -> Points:
    return _corners(
        (-1, -0.25), (0.1, -0.25), (0.1, -0.75), (1, 0), (0.1, 0.75), (0.1, 0.25), (-1, 0.25)
    )


def _hourglass() -> Points:
    return _corners((-0.8, -1), (0.8, -1), (0.16, 0), (0.8, 1), (-0.8, 1), (-0.16, 0))


SHAPE_CLASSES = (
    # Ids have gaps, as COCO's do, so that nobody takes a category id for a label.
    ShapeClass(1, "disc", "round", (_arc(1.0, 0, 351),)),
    ShapeClass(2, "ring", "round", (_arc(1.0, 0, 351), _arc(0.55, 0, 351))),
    ShapeClass(3, "square", "polygon", (_corners((-1, -1), (1, -1), (1, 1), (-1, 1)),)),
    ShapeClass(5, "triangle", "polygon", (_corners((0, -1), (0.93, 0.72), (-0.93, 0.72)),)),
    ShapeClass(8, "star", "polygon", (_star(5, 0.42),)),
    ShapeClass(9, "cross", "polygon", (_plus(0.3),)),
    ShapeClass(13, "crescent", "round", (_crescent(),)),
    ShapeClass(17, "heart", "symbol", (_heart(),)),
    ShapeClass(21, "arrow", "symbol", (_arrow(),)),
    ShapeClass(34, "hourglass", "symbol", (_hourglass(),)),
)


def own_colour(shape: ShapeClass) -> NDArray[np.float32]:
    """RGB, 0 to 255, of the colour that most objects of a class wear; hues are evenly spaced."""
    hue = SHAPE_CLASSES.index(shape) / len(SHAPE_CLASSES)
    return np.array(colorsys.hsv_to_rgb(hue, 0.8, 0.95), dtype=np.float32) * 255
