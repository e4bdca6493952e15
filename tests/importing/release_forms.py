"""What the authors' archives hold beside the layers: forms of TensorFlow 1's export scripts.

Every function changes a message of `ssdlite_graph` or `deeplab_graph`.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tests.importing.graph_builder import GraphBuilder, Type

SCALES = (0.2, 0.35, 0.5, 0.65, 0.8, 0.95, 1.0)
RATIOS = (1.0, 2.0, 0.5, 3.0, 0.3333)


def edit(message: Any) -> GraphBuilder:
    """A builder that goes on with a message."""
    builder = GraphBuilder()
    builder.message = message
    return builder


def find(message: Any, name: str) -> Any:
    """A node of a message."""
    return next(node for node in message.node if node.name == name)


def remove(message: Any, name: str) -> Any:
    """Takes a node out of a message, and returns it."""
    index = next(index for index, node in enumerate(message.node) if node.name == name)
    node = message.node[index]
    del message.node[index]
    return node


def insert(message: Any, reader: str, place: int, op: str, name: str, *more: str) -> str:
    """Puts an operation between a node and one of its inputs."""
    node = find(message, reader)
    before = node.input[place]
    node.input[place] = name
    return edit(message).node(op, name, [before, *more])


def ints(value: Any) -> np.ndarray:
    return np.array(value, np.int32)


def floats(value: Any) -> np.ndarray:
    return np.array(value, np.float32)


# The detector


def compute_anchors(message: Any, cells: Sequence[int], scales: Sequence[float] = SCALES) -> None:
    """`multiple_grid_anchor_generator.py` instead of its result."""
    remove(message, "Postprocessor/ExpandDims")
    builder = edit(message)
    grids = [
        _grid(builder, f"MultipleGridAnchorGenerator/grid_{level}/", count, *_shapes(level, scales))
        for level, count in enumerate(cells)
    ]
    axis = builder.const("MultipleGridAnchorGenerator/Concatenate/axis", ints(0))
    name = "MultipleGridAnchorGenerator/Concatenate/concat"
    builder.node("ConcatV2", name, [*grids, axis], N=len(grids))
    checked = builder.node("Identity", "MultipleGridAnchorGenerator/Identity", [name])
    place = builder.const("Postprocessor/ExpandDims/dim", ints(0))
    builder.node("ExpandDims", "Postprocessor/ExpandDims", [checked, place])


def _shapes(level: int, scales: Sequence[float]) -> tuple[list[float], list[float]]:
    if level == 0:
        return [0.1, scales[0], scales[0]], [1.0, 2.0, 0.5]
    between = (scales[level] * scales[level + 1]) ** 0.5
    return [scales[level]] * len(RATIOS) + [between], [*RATIOS, 1.0]


class _Scope:
    """Short ways to write operations under one name."""

    def __init__(self, builder: GraphBuilder, scope: str) -> None:
        self.builder, self.scope, self.count = builder, scope, 0

    def __call__(self, op: str, *inputs: Any, **attributes: Any) -> str:
        self.count += 1
        name = f"{self.scope}{op}_{self.count}"
        names = [
            each
            if isinstance(each, str)
            else self.builder.const(f"{name}/{place}", np.asarray(each))
            for place, each in enumerate(inputs)
        ]
        return self.builder.node(op, name, names, **attributes)


def _grid(
    builder: GraphBuilder, scope: str, cells: int, scales: list[float], ratios: list[float]
) -> str:
    """`grid_anchor_generator.tile_anchors`: ymin, xmin, ymax, xmax."""
    do = _Scope(builder, scope)
    roots = do("Sqrt", floats(ratios))
    scale = builder.const(f"{scope}scales", floats(scales))
    base = do("RealDiv", do("Minimum", *[_cast(do, ints(1))] * 2), _cast(do, ints(1)))
    heights = do("Mul", do("RealDiv", scale, roots), _cast(do, base))
    widths = do("Mul", do("Mul", scale, roots), _cast(do, base))
    stride = do("RealDiv", floats(1), _cast(do, ints(cells)))
    centers = []
    for _ in range(2):
        steps = do("Range", ints(0), ints(cells), ints(1))
        offset = do("Mul", floats(0.5), stride)
        centers.append(do("Add", do("Mul", _cast(do, steps), stride), offset))
    x_grid, y_grid = _meshgrid(do, centers[1], centers[0], ranks=(1, 1))
    width_grid, x_grid = _meshgrid(do, widths, x_grid, ranks=(1, 2))
    height_grid, y_grid = _meshgrid(do, heights, y_grid, ranks=(1, 2))
    middle = do("Reshape", do("Pack", y_grid, x_grid, axis=3, N=2), ints([-1, 2]))
    sides = do("Reshape", do("Pack", height_grid, width_grid, axis=3, N=2), ints([-1, 2]))
    low = do("Sub", middle, do("Mul", floats(0.5), sides))
    high = do("Add", middle, do("Mul", floats(0.5), sides))
    return do("ConcatV2", low, high, ints(1), N=2)


def _cast(do: _Scope, value: Any) -> str:
    return do("Cast", value, DstT=Type("float32"))


def _meshgrid(do: _Scope, x: str, y: str, ranks: tuple[int, int]) -> tuple[str, str]:
    """`ops.meshgrid` of the Object Detection API."""
    x_shape = _expanded_shape(do, x, ints(0), ranks[1])
    y_shape = _expanded_shape(do, y, do("Rank", y), ranks[0])
    x_grid = do("Tile", do("Reshape", x, x_shape), y_shape)
    return x_grid, do("Tile", do("Reshape", y, y_shape), x_shape)


def _expanded_shape(do: _Scope, tensor: str, start: Any, count: int) -> str:
    shape = do("Shape", tensor, out_type=Type("int32"))
    start = do("ExpandDims", start, ints(0))
    before = do("Slice", shape, ints([0]), start)
    ones = do("Fill", ints([count]), ints(1))
    after = do("Slice", shape, start, ints([-1]))
    return do("ConcatV2", before, ones, after, ints(0), N=3)


def suppress(
    message: Any, *, score: float, iou: float, per_class: int, classes: int, total: int = 100
) -> None:
    """`batch_multiclass_non_max_suppression`: a loop over pictures, classes one by one."""
    builder, scope = edit(message), "Postprocessor/BatchMultiClassNonMaxSuppression/map/"
    do = _Scope(builder, f"{scope}while/")
    count = builder.const(f"{scope}start", ints(0))
    enter = builder.node("Enter", f"{scope}while/Enter", [count])
    merge = builder.node("Merge", f"{scope}while/Merge", [enter, f"{scope}while/NextIteration"])
    less = do("Less", merge, ints(1))
    go_on = builder.node("LoopCond", f"{scope}while/LoopCond", [less])
    switch = builder.node("Switch", f"{scope}while/Switch", [merge, go_on])
    index = builder.node("Identity", f"{scope}while/Identity", [f"{switch}:1"])
    following = do("Add", index, ints(1))
    builder.node("NextIteration", f"{scope}while/NextIteration", [following])
    limit = builder.node("Enter", f"{scope}while/iou", [do("Identity", floats(iou))])
    boxes = do("Gather", do("Enter", "Postprocessor/ExpandDims_1"), index)
    scores = do("Gather", do("Enter", "Postprocessor/Slice"), index)
    kept = []
    for place in range(classes):
        column = do("Slice", scores, ints([0, place]), ints([-1, 1]))
        passing = do("Where", do("Greater", do("Reshape", column, ints([-1])), floats(score)))
        chosen = do("Gather", boxes, passing)
        number = do("StridedSlice", do("Shape", chosen), ints([0]), ints([1]), ints([1]))
        most = do("Minimum", ints(per_class), number)
        picked = do("NonMaxSuppressionV2", chosen, column, most, limit)
        corners = do("Split", ints(1), do("Gather", chosen, picked), num_split=4)
        window = do("Unpack", floats([0, 0, 1, 1]), num=4, axis=0)
        clipped = [
            do("Maximum", do("Minimum", f"{corners}:{side}", f"{window}:{side + 2}"), window)
            for side in range(2)
        ]
        joined = do("ConcatV2", *clipped, ints(1), N=2)
        areas = do("Sub", clipped[0], clipped[1])
        kept.append(do("Gather", joined, do("Where", do("Greater", areas, floats(0)))))
    joined = do("ConcatV2", *kept, ints(0), N=len(kept))
    number = do("StridedSlice", do("Shape", joined), ints([0]), ints([1]), ints([1]))
    do("Gather", joined, do("Range", ints(0), do("Minimum", ints(total), number), ints(1)))
    builder.node("Exit", "detection_boxes", [switch])


def scale_logits(message: Any, factor: float = 1.0) -> None:
    """The division before the scores."""
    divisor = edit(message).const("Postprocessor/scale_logits/y", floats(factor))
    reader, name = "Postprocessor/convert_scores", "Postprocessor/scale_logits"
    insert(message, reader, 0, "RealDiv", name, divisor)


# The segmenter


def pad_pictures(message: Any, size: int, *, mean: float = 127.5) -> None:
    """`preprocess_image_and_label`: the picture is padded with the mean, by its own size."""
    builder, cast = edit(message), find(message, "Cast")
    cast.name = "ToFloat"
    do = _Scope(builder, "pad/")
    single = do("Squeeze", "ToFloat", squeeze_dims=[0])
    sides = do("Shape", single, out_type=Type("int32"))
    height = do("StridedSlice", sides, ints([0]), ints([1]), ints([1]), shrink_axis_mask=1)
    missing = do("Maximum", do("Sub", ints(size), height), ints(0))
    assertion = do("GreaterEqual", missing, ints(0))
    do("Assert", assertion, np.array(b"target size is too small", object))
    pads = do("Pack", ints(0), missing, axis=0, N=2)
    value = do("Reshape", floats([mean] * 3), ints([1, 1, 3]))
    padded = do("Pad", do("Sub", single, value), pads)
    shifted = do("Add", padded, value)
    builder.node("ExpandDims", "Cast", [shifted, builder.const("pad/dim", ints(0))])


def resize_twice(message: Any, cells: int) -> None:
    """`multi_scale_logits` first resizes to the map's own size, then to the picture's."""
    builder, resize = edit(message), find(message, "ResizeBilinear_1")
    own = builder.const("logits/own_size", ints([cells, cells]))
    name = insert(message, "ResizeBilinear_1", 0, "ResizeBilinear", "ResizeBilinear_own", own)
    find(message, name).attr["align_corners"].b = True
    remove(message, resize.input[1])
    shape = builder.node("Shape", "Shape_1", ["sub"])
    ends = [builder.const(f"slice/{end}", ints([end])) for end in (1, 3)]
    sides = builder.node("StridedSlice", "slice", [shape, *ends, ends[0]])
    find(message, "ResizeBilinear_1").input[1] = sides


def crop_result(message: Any) -> None:
    """The labels cut to the picture, and resized back."""
    find(message, "SemanticPredictions").name = "ArgMax"
    do = _Scope(edit(message), "crop/")
    sides = do("Shape", "Cast", out_type=Type("int32"))
    labels = do("Cast", "ArgMax", SrcT=Type("int64"), DstT=Type("int32"))
    labels = do("Slice", labels, ints([0, 0, 0]), do("Pack", ints(1), sides, axis=0, N=2))
    labels = do("ExpandDims", labels, ints(3))
    resized = do("ResizeNearestNeighbor", labels, ints([100, 100]), align_corners=True)
    edit(message).node("Squeeze", "SemanticPredictions", [resized], squeeze_dims=[3])
