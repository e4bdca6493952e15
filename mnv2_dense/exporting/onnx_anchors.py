"""Anchors as a part of the graph, for detectors that take pictures of any size."""

import math
from collections.abc import Sequence
from typing import Any

import onnx_ir as ir

from mnv2_dense.detection.anchors import AnchorGenerator

_DOUBLE = ir.DataType.DOUBLE


def add_anchors(
    op: Any, generator: AnchorGenerator, levels: Sequence[ir.Value], images: ir.Value
) -> ir.Value:
    """Anchors [A, 4], in the arithmetic of `AnchorGenerator`.

    Args:
        op: Of the graph's builder.
        generator: Knows the shapes of every level.
        levels: A map [B, channels, h, w] of each level.
        images: [B, H, W, 3].
    """
    height, width = (
        op.Cast(op.Shape(images, start=axis, end=axis + 1), to=_DOUBLE) for axis in (1, 2)
    )
    shorter = op.Min(height, width)
    base_height, base_width = op.Div(shorter, height), op.Div(shorter, width)
    anchors = [
        _level_anchors(op, shapes, level, base_height, base_width)
        for shapes, level in zip(generator.shapes, levels, strict=True)
    ]
    return op.Cast(op.Concat(*anchors, axis=0), to=ir.DataType.FLOAT)


def _level_anchors(
    op: Any,
    shapes: Sequence[tuple[float, float]],
    level: ir.Value,
    base_height: ir.Value,
    base_width: ir.Value,
) -> ir.Value:
    """Anchors [cells * shapes, 4] of a level in float64."""
    widths = _doubles(op, [scale * math.sqrt(ratio) for scale, ratio in shapes])
    heights = _doubles(op, [scale / math.sqrt(ratio) for scale, ratio in shapes])
    y = op.Reshape(_centers(op, level, 2), [-1, 1, 1])
    x = op.Reshape(_centers(op, level, 3), [1, -1, 1])
    parts = (x, y, op.Mul(widths, base_width), op.Mul(heights, base_height))
    shape = op.Concat(op.Shape(level, start=2), [len(shapes)], axis=0)
    spread = [op.Unsqueeze(op.Expand(part, shape), [3]) for part in parts]
    return op.Reshape(op.Concat(*spread, axis=3), [-1, 4])


def _centers(op: Any, level: ir.Value, axis: int) -> ir.Value:
    """Centres of the rows or columns of a map, in shares of it."""
    cells = op.Shape(level, start=axis, end=axis + 1)
    places = op.Cast(op.Range(0, op.Squeeze(cells), 1), to=_DOUBLE)
    return op.Div(op.Add(places, _doubles(op, [0.5])), op.Cast(cells, to=_DOUBLE))


def _doubles(op: Any, values: Sequence[float]) -> ir.Value:
    return op.Constant(value=ir.tensor(list(values), dtype=_DOUBLE))
