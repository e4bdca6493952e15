"""What a segmenter's graph does behind its network: class logits to a label map.

Up-sampling all classes to the pictures' size and taking the best takes a third of the network's
time. Between four cells of the same best class no other one can win, as bilinear weights are not
negative and sum to one; only where they differ is anything interpolated.
"""

from typing import Any, NamedTuple

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnxscript import GraphBuilder

from mnv2_dense.ops.labels import places_of
from mnv2_dense.prediction.engine import OUTPUTS
from mnv2_dense.structures import ImageSize


class Tiles(NamedTuple):
    """Of one side: the pixels of every gap between two cells.

    lower: the cell before each pixel, [pixels]. places: pixels of each gap [gaps, P], the last one
    repeated where a gap has fewer. shares: how far they are on the way, float32 [gaps, P].
    """

    lower: NDArray[np.int64]
    places: NDArray[np.int64]
    shares: NDArray[np.float32]


def find_tiles(pixels: int, cells: int, align_corners: bool) -> Tiles | None:
    """The tiles of a side, or None where there is a gap without pixels."""
    lower, share = places_of(np.arange(pixels, dtype=np.float64), pixels, cells, align_corners)
    counts = np.bincount(lower, minlength=max(1, cells - 1))
    if cells < 2 or not counts.all():
        return None
    ends = np.cumsum(counts)
    places = (ends - counts)[:, None] + np.arange(counts.max())
    places = np.minimum(places, ends[:, None] - 1)
    return Tiles(lower, places, share[places])


def add_label_map(
    builder: GraphBuilder,
    class_logits: ir.Value,
    images: ir.Value,
    *,
    align_corners: bool,
    sizes: tuple[ImageSize, ImageSize] | None,
) -> None:
    """The label map of images [B, H, W, 3] and the logits [B, C, h, w] as the graph's outputs.

    Args:
        builder: Of the graph.
        class_logits: The network's.
        images: The graph's input.
        align_corners: Whether the corner cells' centres lie on the corner pixels' centres.
        sizes: Of images and logits; None where they are not fixed: then all is interpolated.
    """
    op = builder.op
    logits = op.Transpose(class_logits, perm=[0, 2, 3, 1])
    rows, columns = _find_both(sizes, align_corners)
    if rows is not None and columns is not None:
        label_map = _decide_cells(op, logits, rows, columns)
    else:
        label_map = _interpolate_all(op, logits, images, align_corners)
    for value, name in zip((label_map, class_logits), OUTPUTS["segmentation"], strict=True):
        builder.add_output(value, name)


def _find_both(
    sizes: tuple[ImageSize, ImageSize] | None, align_corners: bool
) -> tuple[Tiles | None, Tiles | None]:
    """Tiles of rows and of columns."""
    if sizes is None:
        return None, None
    pixels, cells = sizes
    return (
        find_tiles(pixels.height, cells.height, align_corners),
        find_tiles(pixels.width, cells.width, align_corners),
    )


def _interpolate_all(op: Any, logits: ir.Value, images: ir.Value, align_corners: bool) -> ir.Value:
    rule = "align_corners" if align_corners else "half_pixel"
    sizes = op.Concat(op.Shape(images, start=0, end=3), op.Shape(logits, start=3), axis=0)
    pixels = op.Resize(
        logits, None, None, sizes, mode="linear", coordinate_transformation_mode=rule
    )
    return op.Cast(op.ArgMax(pixels, axis=3, keepdims=0), to=ir.DataType.UINT8)


def _decide_cells(op: Any, logits: ir.Value, rows: Tiles, columns: Tiles) -> ir.Value:
    """The label map: nearest cells, and the pixels between cells of several classes over them."""
    best = op.Cast(op.ArgMax(logits, axis=3, keepdims=0), to=ir.DataType.INT32)
    nearest = op.Cast(best, to=ir.DataType.UINT8)
    for axis, side in ((2, columns), (1, rows)):  # Whole rows are copied last.
        nearest = op.Gather(nearest, _constant(op, side.lower), axis=axis)
    mixed = _mixed_gaps(op, best)
    labels = op.Cast(
        op.ArgMax(_pixels(op, logits, mixed, rows, columns), axis=3, keepdims=0),
        to=ir.DataType.UINT8,
    )
    return op.ScatterND(nearest, _pixel_places(op, mixed, rows, columns), labels)


def _mixed_gaps(op: Any, best: ir.Value) -> ir.Value:
    """Picture, row and column [3, n] of the gaps whose corners are of several classes.

    The very first is always among them: there is no operation on nothing in some runtimes.
    """
    first = _cut(op, best, 0, 0)
    same = None
    for down, right in ((0, 1), (1, 0), (1, 1)):
        equal = op.Equal(first, _cut(op, best, down, right))
        same = equal if same is None else op.And(same, equal)
    found = op.NonZero(op.Not(same))
    return op.Concat(_constant(op, np.zeros((3, 1), np.int64)), found, axis=1)


def _cut(op: Any, best: ir.Value, down: int, right: int) -> ir.Value:
    """The map without its last row and column, or without its first."""
    starts, ends = [down, right], [1 - down, 1 - right]
    stops = [-end if end else int(np.iinfo(np.int64).max) for end in ends]
    return op.Slice(best, starts, stops, [1, 2])


def _pixels(op: Any, logits: ir.Value, mixed: ir.Value, rows: Tiles, columns: Tiles) -> ir.Value:
    """Logits [n, P, Q, C] of the pixels in gaps [3, n]."""
    corners = []
    for down, right in ((0, 0), (0, 1), (1, 0), (1, 1)):
        step = _constant(op, np.array([[0], [down], [right]]))
        corners.append(op.GatherND(logits, op.Transpose(op.Add(mixed, step), perm=[1, 0])))
    stacked = op.Concat(*(op.Unsqueeze(corner, [1]) for corner in corners), axis=1)
    _, row, column = (op.Squeeze(part, [0]) for part in op.Split(mixed, num_outputs=3, _outputs=3))
    down = op.Gather(_constant(op, _two_weights(rows)), row)
    right = op.Gather(_constant(op, _two_weights(columns)), column)
    # [n, P, 1, 2, 1] times [n, 1, Q, 1, 2]
    weights = op.Mul(op.Unsqueeze(down, [2, 4]), op.Unsqueeze(right, [1, 3]))
    height, width = rows.places.shape[1], columns.places.shape[1]
    tiles = op.MatMul(op.Reshape(weights, [-1, height * width, 4]), stacked)
    return op.Reshape(tiles, [0, height, width, -1])


def _two_weights(side: Tiles) -> NDArray[np.float32]:
    """Weights [gaps, P, 2] of the cells before and after each pixel."""
    return np.stack([1 - side.shares, side.shares], axis=-1)


def _pixel_places(op: Any, mixed: ir.Value, rows: Tiles, columns: Tiles) -> ir.Value:
    """Picture, row and column [n, P, Q, 3] of the pixels in gaps [3, n]."""
    picture, row, column = op.Split(mixed, num_outputs=3, _outputs=3)
    height, width = rows.places.shape[1], columns.places.shape[1]
    parts = (
        op.Reshape(picture, [-1, 1, 1, 1]),
        op.Reshape(op.Gather(_constant(op, rows.places), op.Squeeze(row, [0])), [-1, height, 1, 1]),
        op.Reshape(
            op.Gather(_constant(op, columns.places), op.Squeeze(column, [0])), [-1, 1, width, 1]
        ),
    )
    shape = op.Concat(op.Shape(mixed, start=1), [height, width, 1], axis=0)
    return op.Concat(*(op.Expand(part, shape) for part in parts), axis=3)


def _constant(op: Any, values: NDArray[Any]) -> ir.Value:
    return op.Constant(value=ir.tensor(values))
