"""The released detectors' anchors, from their definition, in the release's own order y, x."""

import math

import pytest
import torch

from mnv2_dense.detection.anchors import AnchorGenerator
from mnv2_dense.structures import ImageSize

ASPECT_RATIOS = (1.0, 2.0, 0.5, 3.0, 0.3333)


def released_anchors(
    grids: list[tuple[int, int]], height: int, width: int
) -> list[tuple[float, float, float, float]]:
    """Rows ymin, xmin, ymax, xmax in shares of the image, of grids (rows, columns)."""
    scales = [0.2, 0.35, 0.5, 0.65, 0.8, 0.95, 1.0]
    shorter = min(height, width)
    boxes = []
    for level, (rows, columns) in enumerate(grids):
        if level == 0:
            shapes = [(0.1, 1.0), (0.2, 2.0), (0.2, 0.5)]
        else:
            between = math.sqrt(scales[level] * scales[level + 1])
            shapes = [(scales[level], ratio) for ratio in ASPECT_RATIOS] + [(between, 1.0)]
        for row in range(rows):
            for column in range(columns):
                for scale, ratio in shapes:
                    y, x = (row + 0.5) / rows, (column + 0.5) / columns
                    h = scale / math.sqrt(ratio) * shorter / height
                    w = scale * math.sqrt(ratio) * shorter / width
                    boxes.append((y - h / 2, x - w / 2, y + h / 2, x + w / 2))
    return boxes


@pytest.mark.parametrize(
    ("size", "grids", "count"),
    [
        ((320, 320), [(20, 20), (10, 10), (5, 5), (3, 3), (2, 2), (1, 1)], 2034),
        ((300, 300), [(19, 19), (10, 10), (5, 5), (3, 3), (2, 2), (1, 1)], 1917),
        ((200, 330), [(13, 21), (7, 11), (4, 6), (2, 3), (1, 2), (1, 1)], None),
    ],
)
def test_every_value_is_the_releases(
    size: tuple[int, int], grids: list[tuple[int, int]], count: int | None
) -> None:
    cells = [ImageSize(*grid) for grid in grids]
    anchors = AnchorGenerator()(cells, ImageSize(*size), torch.device("cpu"))
    expected = torch.tensor(released_anchors(grids, *size), dtype=torch.float64)
    cx, cy, w, h = anchors.double().unbind(dim=1)
    found = torch.stack([cy - h / 2, cx - w / 2, cy + h / 2, cx + w / 2], dim=1)
    assert count in (None, len(anchors))
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-7)
