"""One scene: its picture, and the map that says which object each pixel shows."""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from mnv2_dense.shapes.background import Picture, draw_background
from mnv2_dense.shapes.canvas import Canvas, SceneObject, Stencil
from mnv2_dense.shapes.difficulty import Difficulty
from mnv2_dense.shapes.outlines import SHAPE_CLASSES, ShapeClass, turn_outline

SUPERSAMPLING = 4
PLACING_TRIES = 6


class Scene(NamedTuple):
    """A drawn scene.

    picture [H, W, 3] uint8 RGB; instances [H, W] uint8, where 0 is background and k + 1 shows
    `objects[k]`: only visible pixels count, so masks do not overlap.
    """

    picture: Picture
    instances: NDArray[np.uint8]
    objects: tuple[SceneObject, ...]

    def mask(self, position: int) -> NDArray[np.bool_]:
        """Pixels [H, W] that show `objects[position]`."""
        return self.instances == position + 1


def draw_scene(seed: Sequence[int], size: int, difficulty: Difficulty | None = None) -> Scene:
    """Draws the scene of a seed: the same seed, size and difficulty give the same pixels.

    Args:
        seed: Numbers of at least 0, for example (seed, split, index).
        size: Side of the square picture, in pixels.
        difficulty: Ranges to draw from; None takes the default ones.
    """
    rules = difficulty or Difficulty()
    rng = np.random.default_rng(list(seed))
    canvas = Canvas(draw_background(rng, size, rules), rules)
    if rng.random() >= rules.empty:
        if rng.random() < rules.crowd:
            _add_crowd(rng, canvas)
        for extent in _draw_extents(rng, size, rules):
            _add_object(rng, canvas, extent)
    picture = _photograph(rng, canvas.picture, rules)
    return Scene(picture, canvas.instances, tuple(canvas.objects))


def _draw_extents(rng: np.random.Generator, size: int, rules: Difficulty) -> list[float]:
    """Longer sides in pixels, roughly the largest first so that few hide the others."""
    count = int(rng.integers(*rules.objects_per_image, endpoint=True))
    smallest, largest = rules.smallest_extent, rules.largest_extent * size
    extents = smallest * (largest / smallest) ** (rng.random(count) ** rules.extent_power)
    small = smallest * 2 ** rng.random(count)
    extents = np.where(rng.random(count) < rules.small, small, extents)
    order = np.argsort(-extents * rng.uniform(0.5, 2, count))
    return [float(extents[k]) for k in order]


def _add_object(rng: np.random.Generator, canvas: Canvas, extent: float) -> None:
    """Places one object; after `PLACING_TRIES` refusals it is left out."""
    item = SceneObject(SHAPE_CLASSES[rng.integers(len(SHAPE_CLASSES))], crowd=False)
    for _ in range(PLACING_TRIES):
        centre = _draw_centre(rng, canvas, extent)
        if canvas.place(rng, _cut_stencil(rng, item.shape, extent, centre, canvas), item):
            return


def _draw_centre(rng: np.random.Generator, canvas: Canvas, extent: float) -> NDArray[np.float64]:
    """A centre anywhere inside, over the edge, or near the middle of an earlier object."""
    rules = canvas.difficulty
    margin = 0.0 if rng.random() < rules.truncated else extent / 2
    centre = rng.uniform(margin, canvas.size - margin, 2)
    if canvas.objects and rng.random() < rules.piled:
        chosen = rng.integers(len(canvas.objects)) + 1
        x, y, width, height = cv2.boundingRect((canvas.instances == chosen).astype(np.uint8))
        reach = np.array([width, height]) / 2 + extent / 4
        centre = np.array([x + width / 2, y + height / 2]) + rng.uniform(-reach, reach)
        centre = np.clip(centre, margin, canvas.size - margin)
    return centre


def _cut_stencil(
    rng: np.random.Generator,
    shape: ShapeClass,
    extent: float,
    centre: NDArray[np.float64],
    canvas: Canvas,
) -> Stencil:
    """A randomly stretched and turned shape around a centre, smooth-edged."""
    aspect = canvas.difficulty.aspect ** rng.uniform(-1, 1)
    turn = np.radians(canvas.difficulty.turn * rng.uniform(-1, 1))
    lines = turn_outline(shape, extent=extent, aspect=aspect, angle=turn)
    box = np.concatenate(lines).max(axis=0)
    corner = centre - box / 2
    left, top = (int(value) for value in np.floor(corner))
    width, height = (int(value) for value in np.ceil(box + 1))
    fine = np.zeros((height * SUPERSAMPLING, width * SUPERSAMPLING), dtype=np.uint8)
    offset = corner - (left, top)
    contours = [np.round((line + offset) * SUPERSAMPLING).astype(np.int32) for line in lines]
    cv2.fillPoly(fine, contours, 255)
    coverage = cv2.resize(fine, (width, height), interpolation=cv2.INTER_AREA)
    return Stencil(np.asarray(coverage, dtype=np.uint8), left, top)


def _add_crowd(rng: np.random.Generator, canvas: Canvas) -> None:
    """Many small objects of one class around a random centre, as one crowd region."""
    rules = canvas.difficulty
    item = SceneObject(SHAPE_CLASSES[rng.integers(len(SHAPE_CLASSES))], crowd=True)
    count = int(rng.integers(*rules.crowd_members, endpoint=True))
    middle = rng.uniform(0.2, 0.8, 2) * canvas.size
    spread = rng.uniform(0.06, 0.12, 2) * canvas.size
    stencils = [
        _cut_stencil(
            rng, item.shape, rng.uniform(*rules.crowd_extent), rng.normal(middle, spread), canvas
        )
        for _ in range(count)
    ]
    canvas.place_crowd(rng, stencils, item)


def _photograph(rng: np.random.Generator, picture: Picture, rules: Difficulty) -> Picture:
    """The picture under uneven light, with blur and grain."""
    size = len(picture)
    ramp = np.linspace(-0.5, 0.5, size, dtype=np.float32)
    across, down = rng.uniform(-rules.lighting, rules.lighting, 2).astype(np.float32)
    light = 1 + across * ramp[None, :] + down * ramp[:, None]
    lit = cv2.multiply(picture, cv2.merge([light, light, light]), dtype=cv2.CV_32F)
    if rng.random() < 0.5:
        lit = cv2.GaussianBlur(lit, (0, 0), rng.uniform(0.3, max(rules.blur, 0.31)))
    grain = rng.standard_normal(picture.shape[:2], dtype=np.float32)
    grain *= np.float32(rng.uniform(0, rules.noise))
    grainy = cv2.add(lit, cv2.merge([grain, grain, grain]), dtype=cv2.CV_8U)
    return np.asarray(grainy, dtype=np.uint8)
