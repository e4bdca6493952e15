"""What a detector's file does with its outputs: its anchors, box scales, thresholds and NMS."""

from typing import Any, NamedTuple

import numpy as np

from mnv2_dense.importing.box_codes import check_codes, check_scales
from mnv2_dense.importing.constants import decimal
from mnv2_dense.importing.graph import Node
from mnv2_dense.importing.suppression import MAX_DETECTIONS, find_suppression
from mnv2_dense.importing.walk import Walk

_COORDINATES = 4
_OPTIONS = (
    *("y_scale", "x_scale", "h_scale", "w_scale", "num_classes", "max_detections"),
    *("nms_score_threshold", "nms_iou_threshold"),
)
"""Options that the operation does not run without."""
_PER_CLASS = 100
"""TFLite's own default of `detections_per_class`."""


class FoundAnchors(NamedTuple):
    """Anchors [A, 4] as (cx, cy, w, h), and the file's constants that they come from."""

    table: np.ndarray
    names: frozenset[str]


def find_anchors(walk: Walk, total: int) -> FoundAnchors | None:
    """A file's anchors, a constant or computed from constants; None if maps are needed for them.

    Args:
        walk: The file's steps.
        total: Their number, of a file without TFLite's operation.

    Raises:
        UserError: TFLite's operation reads no table of anchors.
    """
    post = _post_process(walk)
    constants = walk.steps.constants
    if post is not None:
        given = constants.get(post.inputs[2]) if len(post.inputs) > 2 else None
        if given is None or given.value.shape[-1:] != (_COORDINATES,):
            raise walk.unknown(f"{post.name} reads no table of anchors")
        return FoundAnchors(given.value.reshape(-1, _COORDINATES)[:, [1, 0, 3, 2]], given.names)
    for value, names, _ in constants.values():
        is_table = value.dtype.kind == "f" and value.shape[-1:] == (_COORDINATES,)
        if is_table and value.ndim >= 2 and value.size == total * _COORDINATES:
            return FoundAnchors(_to_centers(value.reshape(-1, _COORDINATES)), names)
    return None


def _to_centers(corners: np.ndarray) -> np.ndarray:
    """(ymin, xmin, ymax, xmax) as (cx, cy, w, h)."""
    low, high = corners[:, [1, 0]], corners[:, [3, 2]]
    return np.concatenate([(low + high) / 2, high - low], axis=1)


def find_settings(walk: Walk, boxes: int, slots: int) -> dict[str, object]:
    """Keys of the config's `decode` section.

    Args:
        walk: The file's steps.
        boxes: The concatenation of all box codes.
        slots: Class columns, with background's.

    Raises:
        UserError: Boxes are coded otherwise than here.
    """
    check_codes(walk, boxes)
    post = _post_process(walk)
    if post is not None:
        return _tflite_settings(walk, post, slots)
    return find_suppression(walk)


def _post_process(walk: Walk) -> Node | None:
    nodes = walk.steps.graph.nodes
    return next((node for node in nodes if node.op == "detection_post_process"), None)


def _tflite_settings(walk: Walk, node: Node, slots: int) -> dict[str, object]:
    options: dict[str, Any] = dict(node.attributes)
    if missing := [name for name in _OPTIONS if name not in options]:
        raise walk.unknown(f"{node.name}: without its options {', '.join(missing)}")
    check_scales(walk, [float(options[f"{side}_scale"]) for side in "yxhw"])
    if int(options["num_classes"]) != slots - 1:
        raise walk.unknown(f"{node.name}: {options['num_classes']} classes of {slots} slots")
    per_class = bool(options.get("use_regular_nms", False))
    if not per_class and int(options.get("max_classes_per_detection", 1)) != 1:
        raise walk.unknown(f"{node.name}: several classes of a box in TFLite's fast NMS")
    most = options.get("detections_per_class", _PER_CLASS)
    if not all(1 <= each <= MAX_DETECTIONS for each in (most, options["max_detections"])):
        raise walk.unknown(f"{node.name}: keeps {options['max_detections']:g} boxes, {most:g} each")
    return {
        "score_threshold": decimal(options["nms_score_threshold"]),
        "nms_iou_threshold": decimal(options["nms_iou_threshold"]),
        "nms": "per_class" if per_class else "across_classes",
        "max_candidates": None,
        "max_detections_per_class": int(most) if per_class else None,
        "max_detections": int(options["max_detections"]),
    }
