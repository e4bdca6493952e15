"""The place where a scene is painted, object over object."""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from mnv2_dense.shapes.background import Picture
from mnv2_dense.shapes.difficulty import Difficulty
from mnv2_dense.shapes.outlines import ShapeClass, own_colour
from mnv2_dense.shapes.paint import Colour, draw_colour, draw_texture, mix

SOLID = 128
"""A pixel belongs to an object that covers at least this much of it, of 255."""


class SceneObject(NamedTuple):
    """What an instance number stands for: one object, or a crowd of one class."""

    shape: ShapeClass
    crowd: bool


class Stencil(NamedTuple):
    """A shape's coverage [h, w] in 0..255, and where its corner lies in the picture."""

    coverage: NDArray[np.uint8]
    left: int
    top: int


class Canvas:
    """A scene under construction; later objects cover earlier ones."""

    def __init__(self, background: Picture, difficulty: Difficulty) -> None:
        self.picture: Picture = background
        self.instances: NDArray[np.uint8] = np.zeros(background.shape[:2], dtype=np.uint8)
        self.objects: list[SceneObject] = []
        self.full_areas: list[int] = []
        self.difficulty = difficulty

    @property
    def size(self) -> int:
        """Side of the square picture, in pixels."""
        return len(self.picture)

    def place(self, rng: np.random.Generator, stencil: Stencil, item: SceneObject) -> bool:
        """Paints a new object unless it, or one below it, would be seen too little."""
        solid = stencil.coverage >= SOLID
        clipped, rows, columns = self._clip(stencil)
        seen = clipped >= SOLID
        full_area = int(np.count_nonzero(solid))
        if not self._enough(int(np.count_nonzero(seen)), full_area):
            return False
        if not self._may_cover(rows, columns, seen):
            return False
        self.objects.append(item)
        self.full_areas.append(full_area)
        self._paint(rng, clipped, rows, columns)
        return True

    def place_crowd(
        self, rng: np.random.Generator, stencils: Sequence[Stencil], item: SceneObject
    ) -> None:
        """Paints all stencils as the members of one crowd."""
        self.objects.append(item)
        self.full_areas.append(0)
        for stencil in stencils:
            clipped, rows, columns = self._clip(stencil)
            if clipped.size:
                self._paint(rng, clipped, rows, columns)
        self.full_areas[-1] = int(np.count_nonzero(self.instances == len(self.objects)))

    def _clip(self, stencil: Stencil) -> tuple[NDArray[np.uint8], slice, slice]:
        """The part of a stencil inside the picture, and its rows and columns there."""
        height, width = stencil.coverage.shape
        rows = slice(max(stencil.top, 0), min(max(stencil.top + height, 0), self.size))
        columns = slice(max(stencil.left, 0), min(max(stencil.left + width, 0), self.size))
        part = stencil.coverage[
            rows.start - stencil.top : max(rows.stop - stencil.top, 0),
            columns.start - stencil.left : max(columns.stop - stencil.left, 0),
        ]
        return part, rows, columns

    def _enough(self, visible: int, full: int) -> bool:
        rules = self.difficulty
        return visible >= max(rules.least_visible_pixels, rules.least_visible * full)

    def _may_cover(self, rows: slice, columns: slice, seen: NDArray[np.bool_]) -> bool:
        """Whether every object below stays visible enough when these pixels are covered."""
        hidden = np.bincount(self.instances[rows, columns][seen], minlength=len(self.objects) + 1)
        below = [k for k in range(len(self.objects)) if hidden[k + 1]]
        if not below:
            return True
        visible = np.bincount(self.instances.ravel(), minlength=len(self.objects) + 1)
        return all(
            self._enough(int(visible[k + 1] - hidden[k + 1]), self.full_areas[k]) for k in below
        )

    def _paint(
        self,
        rng: np.random.Generator,
        coverage: NDArray[np.uint8],
        rows: slice,
        columns: slice,
    ) -> None:
        """Covers pixels with a random texture and gives them the newest instance number."""
        below = self.picture[rows, columns]
        seen = coverage >= SOLID
        under = np.array(cv2.mean(below, seen.astype(np.uint8))[:3], dtype=np.float32)
        first = self._first_colour(rng, under)
        other = draw_colour(rng, under, self.difficulty.contrast)
        strength = rng.uniform(0.3, 1) * self.difficulty.texture_strength
        second = (first + strength * (other - first)).astype(np.float32)
        paint = mix(draw_texture(rng, *coverage.shape), first, second)
        share = coverage.astype(np.float32) / np.float32(255)
        self.picture[rows, columns] = cv2.blendLinear(paint, below, share, 1 - share)
        self.instances[rows, columns][seen] = len(self.objects)

    def _first_colour(self, rng: np.random.Generator, under: Colour) -> Colour:
        """The class's own colour or near it, or any that stands out from what lies under it."""
        if rng.random() >= self.difficulty.own_colour:
            return draw_colour(rng, under, self.difficulty.contrast)
        spread = rng.normal(0, self.difficulty.colour_spread, 3)
        return np.clip(own_colour(self.objects[-1].shape) + spread, 0, 255).astype(np.float32)
