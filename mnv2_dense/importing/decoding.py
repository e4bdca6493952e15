"""How a detector's file turns outputs into boxes: anchors, box scales, thresholds, NMS."""

from typing import Any, NamedTuple

import numpy as np

from mnv2_dense.detection.coding import BOX_SCALES
from mnv2_dense.importing.constants import decimal
from mnv2_dense.importing.graph import Node
from mnv2_dense.importing.steps import Operation
from mnv2_dense.importing.walk import Walk

_KEEPING = ("identity", "reshape", "squeeze", "expand_dims", "div", "mul", "cast")
_SCORES = {"sigmoid": "sigmoid", "softmax": "softmax"}
_COORDINATES = 4
_NMS = "non_max_suppression"
RELEASE: dict[str, object] = {
    "score_threshold": 1e-8,
    "nms_iou_threshold": 0.6,
    "max_candidates": None,
    "max_detections_per_class": 100,
    "max_detections": 100,
}
"""Decoding of the released SSDLite (its config file, `batch_non_max_suppression`)."""


class FoundAnchors(NamedTuple):
    """Anchors [A, 4] as (cx, cy, w, h), and the file's constants that they come from."""

    table: np.ndarray
    names: frozenset[str]


def is_scored(walk: Walk, number: int) -> bool:
    """Whether a step is turned into scores."""
    return _score_step(walk, number) is not None


def score_loss(walk: Walk, number: int) -> str:
    """The config's `loss.classification` that goes with a file's scores."""
    step = _score_step(walk, number)
    assert step is not None
    return _SCORES[step.node.op]


def _score_step(walk: Walk, number: int) -> Operation | None:
    """The sigmoid or softmax over a step, which may first be shaped, or scaled by 1."""
    for reader in walk.operations_after(number):
        step = walk.operation(reader)
        if step.node.op in _SCORES:
            return step
        if step.node.op in _KEEPING and _changes_nothing(step):
            found = _score_step(walk, reader)
            if found is not None:
                return found
    return None


def _changes_nothing(step: Operation) -> bool:
    if step.node.op not in ("div", "mul"):
        return True
    values = [constant.value for constant in step.constants.values()]
    return len(values) == 1 and bool(np.all(values[0] == 1))


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


def find_settings(walk: Walk, slots: int) -> dict[str, object]:
    """Keys of the config's `decode` section.

    Raises:
        UserError: Boxes are coded otherwise than here.
    """
    post = _post_process(walk)
    if post is not None:
        return _tflite_settings(walk, post, slots)
    _check_scales(walk, _graph_scales(walk))
    found = _graph_nms(walk)
    if not found:
        walk.notes.append("the file has no NMS; the release's settings are assumed")
    return {**RELEASE, **found}


def _post_process(walk: Walk) -> Node | None:
    nodes = walk.steps.graph.nodes
    return next((node for node in nodes if node.op == "detection_post_process"), None)


def _tflite_settings(walk: Walk, node: Node, slots: int) -> dict[str, object]:
    options: dict[str, Any] = dict(node.attributes)
    _check_scales(walk, [float(options[f"{side}_scale"]) for side in "yxhw"])
    if int(options["num_classes"]) != slots - 1:
        raise walk.unknown(f"{node.name}: {options['num_classes']} classes of {slots} slots")
    per_class = bool(options.get("use_regular_nms", False))
    if not per_class and int(options.get("max_classes_per_detection", 1)) != 1:
        raise walk.unknown(f"{node.name}: several classes of a box in TFLite's fast NMS")
    return {
        "score_threshold": decimal(options["nms_score_threshold"]),
        "nms_iou_threshold": decimal(options["nms_iou_threshold"]),
        "nms": "per_class" if per_class else "across_classes",
        "max_candidates": None,
        "max_detections_per_class": int(options["detections_per_class"]) if per_class else None,
        "max_detections": int(options["max_detections"]),
    }


def _graph_scales(walk: Walk) -> list[float] | None:
    """Box scales (y, x, h, w): what the four parts of the box codes are divided by."""
    graph = walk.steps.graph
    for unpack in graph.nodes:
        if unpack.op not in ("unpack", "unstack") or len(unpack.outputs) != _COORDINATES:
            continue
        scales: list[float] = []
        for output in unpack.outputs:
            divided = [
                _divisor(walk, node, output) for node in graph.nodes if output in node.inputs
            ]
            scales += [each for each in divided if each is not None][:1]
        if len(scales) == _COORDINATES:
            return scales
    return None


def _divisor(walk: Walk, node: Node, tensor: str) -> float | None:
    if node.op not in ("div", "mul"):
        return None
    others = [name for name in node.inputs if name != tensor]
    value = _number(walk, others[0]) if len(others) == 1 else None
    if not value:
        return None
    return value if node.op == "div" else 1 / value


def _number(walk: Walk, tensor: str) -> float | None:
    """The single number that a tensor always is, if it is one."""
    constant = walk.steps.constants.get(tensor)
    if constant is None or constant.value.size != 1 or constant.value.dtype.kind not in "iuf":
        return None
    return decimal(float(constant.value.item()))


def _check_scales(walk: Walk, scales: list[float] | None) -> None:
    if scales is None:
        walk.notes.append("box scales are not found in the file; 10, 10, 5, 5 are assumed")
        return
    x, y, width, height = BOX_SCALES
    if not np.allclose(scales, [y, x, height, width], rtol=1e-4):
        found = ", ".join(f"{scale:g}" for scale in scales)
        raise walk.unknown(f"box scales {found} instead of 10, 10, 5, 5")


def _graph_nms(walk: Walk) -> dict[str, object]:
    """Settings of the graph's NMS, where they are constants."""
    nodes = walk.steps.graph.nodes
    suppress = next((node for node in nodes if node.op.startswith(_NMS)), None)
    if suppress is None:
        return {}
    # Boxes, scores, most boxes, IoU; before version 2 the IoU is an attribute.
    reads = dict(enumerate(suppress.inputs))
    per_class = _least(walk, reads.get(2, ""))
    given = {
        "nms_iou_threshold": _number(walk, reads.get(3, ""))
        or suppress.attributes.get("iou_threshold"),
        "max_detections_per_class": None if per_class is None else int(per_class),
        "score_threshold": _score_threshold(walk),
    }
    return {name: value for name, value in given.items() if value is not None}


def _least(walk: Walk, tensor: str) -> float | None:
    """A number, or the one that it is never above."""
    makers = [node for node in walk.steps.graph.nodes if tensor in node.outputs]
    names = makers[0].inputs if makers and makers[0].op == "minimum" else (tensor,)
    return next((value for name in names if (value := _number(walk, name)) is not None), None)


def _score_threshold(walk: Walk) -> float | None:
    """What scores must be above; 0 is what the areas of boxes must be above."""
    compared = {
        value
        for node in walk.steps.graph.nodes
        if node.op == "greater"
        and len(node.inputs) == 2
        and (value := _number(walk, node.inputs[1]))
    }
    return compared.pop() if len(compared) == 1 and max(compared) < 1 else None
