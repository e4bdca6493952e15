"""The anchors of the released SSD detectors."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from mnv2_dense.structures import ImageSize

LOWEST_SCALE = 0.1
"""Scale of the small square on the reduced first level (TF release: 0.1)."""


class AnchorGenerator:
    """Anchors for any input size, from one list of shapes per level.

    Args:
        num_levels: Feature maps that predict.
        min_scale: Scale of the first level, as a share of the shorter input side.
        max_scale: Scale of the last level; those between are evenly spaced.
        aspect_ratios: Width / height of each anchor; 1 comes once more per level, at the
            geometric mean of this level's scale and the next.
        reduce_lowest_level: Only three anchors on the first level: (0.1, 1), (min_scale, 2),
            (min_scale, 1/2).

    Source: `multiple_grid_anchor_generator.py` of the release; the tests state its definition
    a second time, independently, and compare every value.
    """

    def __init__(
        self,
        num_levels: int = 6,
        *,
        min_scale: float = 0.2,
        max_scale: float = 0.95,
        aspect_ratios: Sequence[float] = (1.0, 2.0, 0.5, 3.0, 0.3333),
        reduce_lowest_level: bool = True,
    ) -> None:
        step = (max_scale - min_scale) / max(num_levels - 1, 1)
        scales = [min_scale + step * level for level in range(num_levels)] + [1.0]
        self.shapes = [
            _level_shapes(scales[level], scales[level + 1], aspect_ratios)
            for level in range(num_levels)
        ]
        if reduce_lowest_level:
            self.shapes[0] = [(LOWEST_SCALE, 1.0), (min_scale, 2.0), (min_scale, 0.5)]
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
