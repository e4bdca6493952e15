"""TFLite_Detection_PostProcess behind a network in a .tflite file: threshold and NMS.

Its own NMS per class (use_regular_nms) is not used: with more than one thread, the interpreter of
LiteRT 2.3.0 loses boxes of whole classes. Its NMS across classes does the same if boxes of
different classes cannot meet: every class gets a picture of its own, in a grid of pictures.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from flatbuffers import flexbuffers

from mnv2_dense.exporting.litert_graph import LiteRtGraph
from mnv2_dense.importing.tflite_operations import POST_PROCESS

DETECTIONS = ("detection_boxes", "detection_classes", "detection_scores", "num_detections")
"""Names of the outputs, in the order of the operation."""
MOST_CANDIDATES = 4096
"""Class-anchor pairs that enter the NMS per class where `max_candidates` sets no limit."""
_PITCH = 2
"""Distance of the classes' pictures, in sides of a picture: boxes of neighbours do not touch."""


def add_nms(graph: LiteRtGraph, decoding: Mapping[str, Any]) -> None:
    """Turns the outputs `encodings` and `scores` into detections; see `LiteRtDetector`.

    Those are boxes [1, N, 4] (y1, x1, y2, x2) in shares of the picture, classes [1, N] from 0,
    scores [1, N], all float32, and their number [1].

    Args:
        graph: The network, which is changed.
        decoding: The config's `decode` section.

    Source: detection_postprocess.cc of TensorFlow Lite.
    """
    encodings, scores = graph.output("encodings"), graph.output("scores")
    count, classes = decoding["max_detections"], graph.shape(scores)[2]
    per_class = decoding["nms"] == "per_class"
    if per_class:
        limit = decoding["max_candidates"] or MOST_CANDIDATES
        inputs = _candidates(graph, encodings, scores, limit)
    else:
        # Encodings are of whole boxes: an anchor that changes nothing.
        anchors = np.tile(np.array([0, 0, 1, 1], np.float32), (graph.shape(scores)[1], 1))
        inputs = [encodings, scores, graph.constant(anchors)]
    shapes = ((1, count, 4), (1, count), (1, count), (1,))
    outputs = [graph.tensor(shape) for shape in shapes]
    options = bytes(flexbuffers.Dumps(_options(decoding, classes)))
    graph.custom(POST_PROCESS, inputs, outputs, options)
    if per_class:
        outputs[0] = _in_picture(graph, outputs[0])
    graph.set_outputs(dict(zip(DETECTIONS, outputs, strict=True)))


def _options(decoding: Mapping[str, Any], classes: int) -> dict[str, float]:
    return {
        "max_detections": decoding["max_detections"],
        "max_classes_per_detection": 1,
        "use_regular_nms": False,
        "nms_score_threshold": float(decoding["score_threshold"]),
        "nms_iou_threshold": float(decoding["nms_iou_threshold"]),
        "num_classes": classes,
        **dict.fromkeys(("y_scale", "x_scale", "h_scale", "w_scale"), 1.0),
    }


def _candidates(graph: LiteRtGraph, encodings: int, scores: int, limit: int) -> list[int]:
    """Encodings, scores and anchors of the best class-anchor pairs.

    The anchors are the classes' pictures. Of the scores [1, k, C] only those of a pair's own class
    are not 0.
    """
    _, anchors, classes = graph.shape(scores)
    count = min(limit, anchors * classes)
    flat = graph.reshape(scores, (anchors * classes,))
    best, pair = graph.tensor((count,)), graph.tensor((count,), "INT32")
    graph.operator("TOPK_V2", [flat, graph.constant(np.int32(count))], [best, pair])
    slots = graph.constant(np.int32(classes))
    anchor, label = (graph.tensor((count,), "INT32") for _ in range(2))
    graph.operator("FLOOR_DIV", [pair, slots], [anchor])
    graph.operator("FLOOR_MOD", [pair, slots], [label])
    chosen, pictures = graph.tensor((1, count, 4)), graph.tensor((count, 4))
    graph.operator("GATHER", [encodings, anchor], [chosen], axis=1)
    graph.operator("GATHER", [graph.constant(_pictures(classes)), label], [pictures], axis=0)
    one_hot, own = graph.tensor((count, classes)), graph.tensor((count, classes))
    values = [graph.constant(np.float32(value)) for value in (1, 0)]
    graph.operator("ONE_HOT", [label, slots, *values], [one_hot], axis=-1)
    graph.operator("MUL", [one_hot, graph.reshape(best, (count, 1))], [own])
    return [chosen, graph.reshape(own, (1, count, classes)), pictures]


def _pictures(classes: int) -> np.ndarray:
    """Anchors [C, 4] (y, x, h, w), a picture for each class; near 0, where float32 is finest."""
    row, column = np.divmod(np.arange(classes), math.ceil(math.sqrt(classes)))
    one = np.ones(classes)
    return np.stack([_PITCH * row, _PITCH * column, one, one], axis=1).astype(np.float32)


def _in_picture(graph: LiteRtGraph, boxes: int) -> int:
    """Boxes of any class's picture as those of the one picture.

    A coordinate is at most rounding below 0 or above 1 there, so half a side more of it divided by
    the pitch leaves it and that half.
    """
    shape = graph.shape(boxes)
    half, pitch = graph.constant(np.float32(0.5)), graph.constant(np.float32(_PITCH))
    moved, left, result = (graph.tensor(shape) for _ in range(3))
    graph.operator("ADD", [boxes, half], [moved])
    graph.operator("FLOOR_MOD", [moved, pitch], [left])
    graph.operator("SUB", [left, half], [result])
    return result
