"""What a detector's graph does behind its network: scores, boxes, threshold and NMS.

The same steps as `detection.decode.Decoder`, ties included, in the operations that ONNX Runtime
does fast: no scores are sorted but those that pass, and NMS sees each class by itself.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import onnx_ir as ir
from onnxscript import GraphBuilder

from mnv2_dense.detection.coding import BOX_SCALES, MAX_LOG_SIZE
from mnv2_dense.prediction.engine import OUTPUTS, SCORE_THRESHOLD

_LEFT_OUT = -1.0
"""Score of what does not pass."""
_NEVER = 2.0
"""Threshold that no score reaches."""
_LARGEST = float(np.finfo(np.float32).max)
_TO_THE_END = int(np.iinfo(np.int64).max)

Op = Any
"""`GraphBuilder.op`: every operation of ONNX by its name."""


def add_raw_outputs(
    op: Op, class_maps: Sequence[ir.Value], box_maps: Sequence[ir.Value], slots: int
) -> tuple[ir.Value, ir.Value]:
    """Class logits [B, A, slots] and box deltas [B, A, 4] in the order of the anchors."""
    logits = op.Concat(*(_per_anchor(op, level, slots) for level in class_maps), axis=1)
    return logits, op.Concat(*(_per_anchor(op, level, 4) for level in box_maps), axis=1)


def _per_anchor(op: Op, level: ir.Value, slots: int) -> ir.Value:
    return op.Reshape(op.Transpose(level, perm=[0, 2, 3, 1]), [0, -1, slots])


def add_scores(
    op: Op, class_logits: ir.Value, activation: Literal["softmax", "sigmoid"]
) -> ir.Value:
    """Scores [B, A, C] without the background."""
    softmax = activation == "softmax"
    scores = op.Softmax(class_logits, axis=-1) if softmax else op.Sigmoid(class_logits)
    return op.Slice(scores, [1], [_TO_THE_END], [2])


def add_boxes(op: Op, box_deltas: ir.Value, anchors: ir.Value) -> ir.Value:
    """Boxes [B, A, 4] xyxy, not clipped; see `decode_boxes` and `center_to_corner`."""
    anchor_center, anchor_size = op.Split(anchors, num_outputs=2, axis=-1, _outputs=2)
    deltas = op.Div(box_deltas, list(BOX_SCALES))
    center, size = op.Split(deltas, num_outputs=2, axis=-1, _outputs=2)
    center = op.Add(op.Mul(center, anchor_size), anchor_center)
    half = op.Div(op.Mul(op.Exp(op.Min(size, MAX_LOG_SIZE)), anchor_size), 2.0)
    return op.Concat(op.Sub(center, half), op.Add(center, half), axis=-1)


def add_decoding(
    builder: GraphBuilder, scores: ir.Value, boxes: ir.Value, decoding: Mapping[str, Any]
) -> None:
    """Detections as the graph's outputs, and its input for the threshold, which may be left out.

    Args:
        builder: Of the graph.
        scores: [B, A, C] without the background.
        boxes: [B, A, 4] xyxy in shares of the picture, not clipped.
        decoding: The `decode` section of a config.
    """
    op = builder.op
    default = ir.tensor(0.0, ir.DataType.FLOAT, name=SCORE_THRESHOLD)
    raised = builder.input(SCORE_THRESHOLD, ir.DataType.FLOAT, [], const_value=default)
    threshold = op.Max(raised, float(decoding["score_threshold"]))
    clipped = op.Clip(boxes, 0.0, 1.0)
    if decoding["nms"] == "across_classes":
        found = _across_classes(op, scores, boxes, clipped, threshold, decoding)
    else:
        found = _per_class(op, scores, boxes, clipped, threshold, decoding)
    for value, name in zip(found, OUTPUTS["detection"], strict=True):
        builder.add_output(value, name)


Found = tuple[ir.Value, ir.Value, ir.Value]
"""Boxes [B, N, 4], scores [B, N] and labels [B, N]."""


def _per_class(
    op: Op,
    scores: ir.Value,
    boxes: ir.Value,
    clipped: ir.Value,
    threshold: ir.Value,
    decoding: Mapping[str, Any],
) -> Found:
    """Detections where boxes compete with those of their class, as they are seen."""
    usable = op.And(_is_finite(op, boxes), _has_area(op, clipped))
    thresholds = op.Where(usable, threshold, _NEVER)
    # Nearly all anchors are background: the others are found first, in their order.
    anchors = _promising(op, scores, thresholds)
    few = op.GatherND(scores, op.Unsqueeze(anchors, [2]), batch_dims=1)
    needed = op.Unsqueeze(op.GatherElements(thresholds, anchors, axis=1), [2])
    passing = op.Flatten(op.GreaterOrEqual(few, needed))
    best, place = _candidates(op, op.Flatten(few), passing, decoding["max_candidates"])
    classes = op.Shape(scores, start=2)
    anchor = op.GatherElements(anchors, op.Div(place, classes), axis=1)
    label = op.Mod(place, classes)
    chosen = _pick(op, clipped, anchor)
    every_class = op.Reshape(op.Range(0, op.Squeeze(classes), 1), [1, -1, 1])
    own = op.Equal(op.Unsqueeze(label, [1]), every_class)
    by_class = op.Where(own, op.Unsqueeze(best, [1]), _LEFT_OUT)
    most = decoding["max_detections_per_class"]
    kept = _suppress(op, chosen, by_class, best, decoding["nms_iou_threshold"], most)
    return _best(op, chosen, kept, label, decoding["max_detections"])


def _across_classes(
    op: Op,
    scores: ir.Value,
    boxes: ir.Value,
    clipped: ir.Value,
    threshold: ir.Value,
    decoding: Mapping[str, Any],
) -> Found:
    """Detections where all boxes compete as the network gives them; see `Decoder`."""
    # An anchor with a NaN among its scores is none: the maximum need not say so.
    usable = op.And(_is_finite(op, boxes), op.Not(_has_nan(op, scores)))
    highest = op.ReduceMax(scores, [2], keepdims=0)
    passing = op.GreaterOrEqual(highest, op.Where(usable, threshold, _NEVER))
    best, anchor = _candidates(op, highest, passing, decoding["max_candidates"])
    label = op.GatherElements(op.ArgMax(scores, axis=2, keepdims=0), anchor, axis=1)
    one_class = op.Unsqueeze(best, [1])
    chosen = _pick(op, boxes, anchor)
    kept = _suppress(op, chosen, one_class, best, decoding["nms_iou_threshold"], None)
    if decoding["max_detections_per_class"] is not None:
        rank = _rank_in_class(op, label, kept, scores)
        within = op.LessOrEqual(rank, float(decoding["max_detections_per_class"]))
        kept = op.Where(within, kept, _LEFT_OUT)
    chosen, kept, label = _best(
        op, _pick(op, clipped, anchor), kept, label, decoding["max_detections"]
    )
    # What lies outside the picture has taken its place among them, and is not shown.
    shown = op.Where(_has_area(op, chosen), kept, _LEFT_OUT)
    return _best(op, chosen, shown, label, decoding["max_detections"])


def _is_finite(op: Op, boxes: ir.Value) -> ir.Value:
    """Whether all of each box is finite: NaN fails every comparison."""
    within = op.Cast(op.LessOrEqual(op.Abs(boxes), _LARGEST), to=ir.DataType.INT32)
    return op.Cast(op.ReduceMin(within, [-1], keepdims=0), to=ir.DataType.BOOL)


def _has_nan(op: Op, scores: ir.Value) -> ir.Value:
    """Whether any of each anchor's scores is NaN."""
    return op.IsNaN(op.ReduceSum(scores, [2], keepdims=0))


def _has_area(op: Op, clipped: ir.Value) -> ir.Value:
    """Whether each clipped box has an area."""
    low, high = op.Split(clipped, num_outputs=2, axis=-1, _outputs=2)
    positive = op.Cast(op.Greater(high, low), to=ir.DataType.INT32)
    return op.Cast(op.ReduceMin(positive, [-1], keepdims=0), to=ir.DataType.BOOL)


def _promising(op: Op, scores: ir.Value, thresholds: ir.Value) -> ir.Value:
    """Places [B, n], ascending, of all anchors [B, A] with a score that may pass.

    n is what the picture with most of them has, at least one: fewer are filled up. The maximum
    of a row with NaN may be any of its scores.
    """
    highest = op.ReduceMax(scores, [2], keepdims=0)
    below = op.And(op.Less(highest, thresholds), op.Not(_has_nan(op, scores)))
    anchors = op.Shape(below, start=1)
    last_first = op.Cast(op.Range(op.Squeeze(anchors), 0, -1), to=ir.DataType.FLOAT)
    ranked = op.Where(below, 0.0, last_first)
    counts = op.ReduceSum(op.Sign(ranked), [1], keepdims=0)
    count = op.Cast(op.Max(op.ReduceMax(counts, [0]), 1.0), to=ir.DataType.INT64)
    return op.TopK(ranked, count, axis=1, _outputs=2)[1]


def _candidates(
    op: Op, scores: ir.Value, passing: ir.Value, most: int | None
) -> tuple[ir.Value, ir.Value]:
    """Scores and places [B, k] of the best that pass, of equal ones the first.

    k is what the picture with most of them has, at least one: fewer are filled up.
    """
    counts = op.ReduceSum(op.Cast(passing, to=ir.DataType.INT32), [1], keepdims=0)
    count = op.Max(op.Cast(op.ReduceMax(counts, [0]), to=ir.DataType.INT64), 1)
    count = count if most is None else op.Min(count, most)
    return op.TopK(op.Where(passing, scores, _LEFT_OUT), count, axis=1, _outputs=2)


def _pick(op: Op, boxes: ir.Value, places: ir.Value) -> ir.Value:
    """Boxes [B, k, 4] out of boxes [B, N, 4]."""
    return op.GatherND(boxes, op.Unsqueeze(places, [2]), batch_dims=1)


def _suppress(
    op: Op,
    boxes: ir.Value,
    by_class: ir.Value,
    best: ir.Value,
    iou_threshold: float,
    most: int | None,
) -> ir.Value:
    """Scores [B, k] of the boxes that are left after the NMS of scores [B, C, k] by class."""
    limit = [most] if most is not None else op.Shape(best, start=1)
    selected = op.NonMaxSuppression(
        boxes, by_class, limit, [_rounded_down(iou_threshold)], [_LEFT_OUT / 2]
    )
    places = op.Gather(selected, [0, 2], axis=1)
    left_out = op.Expand(_LEFT_OUT, op.Shape(best))
    return op.ScatterND(left_out, places, op.GatherND(best, places))


def _rounded_down(threshold: float) -> float:
    """The largest float32 that is not above a threshold: the same comparisons come true."""
    rounded = np.float32(threshold)
    return float(rounded if rounded <= threshold else np.nextafter(rounded, np.float32(0)))


def _rank_in_class(op: Op, label: ir.Value, kept: ir.Value, scores: ir.Value) -> ir.Value:
    """Place [B, k] of each kept box among those of its class, from 1."""
    classes = op.Squeeze(op.Shape(scores, start=2))
    own = op.Equal(op.Unsqueeze(label, [2]), op.Range(0, classes, 1))
    left = op.Unsqueeze(op.GreaterOrEqual(kept, 0.0), [2])
    counted = op.Cast(op.And(own, left), to=ir.DataType.FLOAT)
    return op.ReduceSum(op.Mul(op.CumSum(counted, 1), counted), [2], keepdims=0)


def _best(op: Op, boxes: ir.Value, scores: ir.Value, labels: ir.Value, most: int) -> Found:
    """The best, filled up with score 0."""
    count = op.Min(op.Shape(scores, start=1), most)
    best, order = op.TopK(scores, count, axis=1, _outputs=2)
    chosen, label = _pick(op, boxes, order), op.GatherElements(labels, order, axis=1)
    return chosen, op.Max(best, 0.0), label
