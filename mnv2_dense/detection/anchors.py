"""The anchors of the released SSD detectors."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from mnv2_dense.structures import ImageSize

LOWEST_SCALE = 0.1
"""Scale of the small square on the reduced first level (TF release: 0.1)."""


class AnchorGenerator:
    """Anchors for any input size, from one list of shapes per level.

    Args:
        num_levels: Feature maps that predict.
        scales: Scale of each level, as a share of the shorter input side; None spaces them
            evenly.
        min_scale: Scale of the first level, where they are evenly spaced.
        max_scale: Scale of the last level, where they are evenly spaced.
        aspect_ratios: Width / height of each anchor; 1 comes once more per level, at the
            geometric mean of this level's scale and the next (after the last: 1).
        reduce_lowest_level: Only three anchors on the first level: (`lowest_scale`, 1), and at
            that level's scale 2 and 1/2.
        lowest_scale: Scale of that square.

    Attributes:
        scales: Scale of each level.
        shapes: (scale, aspect ratio) of the anchors of a cell, by level.

    Raises:
        ValueError: There is not one scale per level.

    Source: `multiple_grid_anchor_generator.py` of the release; the tests state its definition
    a second time, independently, and compare every value.
    """

    def __init__(
        self,
        num_levels: int = 6,
        *,
        scales: Sequence[float] | None = None,
        min_scale: float = 0.2,
        max_scale: float = 0.95,
        aspect_ratios: Sequence[float] = (1.0, 2.0, 0.5, 3.0, 0.3333),
        reduce_lowest_level: bool = True,
        lowest_scale: float = LOWEST_SCALE,
    ) -> None:
        if scales is None:
            step = (max_scale - min_scale) / max(num_levels - 1, 1)
            scales = [min_scale + step * level for level in range(num_levels)]
        if len(scales) != num_levels:
            raise ValueError(f"{len(scales)} scales for {num_levels} levels")
        self.scales = tuple(scales)
        self.shapes = [
            _level_shapes(scale, next_scale, aspect_ratios)
            for scale, next_scale in pairwise([*self.scales, 1.0])
        ]
        if reduce_lowest_level:
            first = self.scales[0]
            self.shapes[0] = [(lowest_scale, 1.0), (first, 2.0), (first, 0.5)]
        self._cache: dict[object, Tensor] = {}

    @property
    def counts(self) -> list[int]:
        """Anchors per cell of each level."""
        return [len(shapes) for shapes in self.shapes]

    def __call__(
        self, feature_sizes: Sequence[ImageSize], image_size: ImageSize, device: torch.device
    ) -> Tensor:
        """Anchors [A, 4] as (cx, cy, w, h) in shares of the image, not clipped.

        Levels follow one another; within a level cells are row-major, and the anchors of a
        cell in the order of the shapes. On a non-square input anchors keep their shape in
        pixels, with the shorter side as the base.
        """
        key = (tuple(feature_sizes), image_size, device)
        if key not in self._cache:
            levels = [
                _level_anchors(shapes, cells, image_size)
                for shapes, cells in zip(self.shapes, feature_sizes, strict=True)
            ]
            self._cache[key] = torch.cat(levels).to(device)
        return self._cache[key]


class AnchorSettings(NamedTuple):
    """The arguments of a generator with a scale for each level; see `AnchorGenerator`."""

    scales: tuple[float, ...]
    aspect_ratios: tuple[float, ...]
    reduce_lowest_level: bool
    lowest_scale: float

    def generator(self) -> AnchorGenerator:
        """The generator that has them."""
        return AnchorGenerator(len(self.scales), **self._asdict())


def _level_shapes(
    scale: float, next_scale: float, aspect_ratios: Sequence[float]
) -> list[tuple[float, float]]:
    """(scale, aspect ratio) of each anchor of one level."""
    return [(scale, ratio) for ratio in aspect_ratios] + [(math.sqrt(scale * next_scale), 1.0)]


def _level_anchors(
    shapes: Sequence[tuple[float, float]], cells: ImageSize, image_size: ImageSize
) -> Tensor:
    """Anchors [cells * shapes, 4] of one level, in float64 until the end."""
    shorter = min(image_size)
    base_width, base_height = shorter / image_size.width, shorter / image_size.height
    sides = [
        (scale * math.sqrt(ratio) * base_width, scale / math.sqrt(ratio) * base_height)
        for scale, ratio in shapes
    ]
    wh = torch.tensor(sides, dtype=torch.float64)
    cy = (torch.arange(cells.height).double() + 0.5) / cells.height
    cx = (torch.arange(cells.width).double() + 0.5) / cells.width
    grid_y, grid_x = torch.meshgrid(cy, cx, indexing="ij")
    centers = torch.stack([grid_x, grid_y], dim=-1).reshape(-1, 1, 2)
    count = len(shapes)
    anchors = torch.cat([centers.expand(-1, count, -1), wh.expand(len(centers), -1, -1)], dim=-1)
    return anchors.reshape(-1, 4).float()
