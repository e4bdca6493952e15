"""NMS in a graph: its settings, as far as they are constants."""

from mnv2_dense.importing.constants import decimal
from mnv2_dense.importing.graph import Node
from mnv2_dense.importing.walk import Walk

_NMS = "non_max_suppression"
_COMBINED = "combined_non_max_suppression"
_WINDOW = [0, 0, 1, 1]
MAX_NODES = 1000
"""Most operations of NMS; files have one, or one per class."""
MAX_DETECTIONS = 2**31 - 1
"""Most boxes that a file may say it keeps, which means all of them."""
RELEASE: dict[str, object] = {
    "score_threshold": 1e-8,
    "nms_iou_threshold": 0.6,
    "max_candidates": None,
    "max_detections_per_class": 100,
    "max_detections": 100,
}
"""Decoding of the released SSDLite (its config file, `batch_non_max_suppression`)."""


def find_suppression(walk: Walk) -> dict[str, object]:
    """Keys of the config's `decode` section; a note names those that are assumed.

    Raises:
        UserError: NMS lowers scores instead of dropping boxes, or differs between classes.
    """
    nodes = [node for node in walk.steps.graph.nodes if node.op.startswith((_NMS, _COMBINED))]
    if not nodes:
        walk.notes.append("the file has no NMS; the release's settings are assumed")
        return RELEASE
    if len(nodes) > MAX_NODES:
        raise walk.unknown(f"{len(nodes)} operations of NMS")
    _explain_window(walk)
    total, compared = _total(walk), _compared(walk)
    settings = [_read(walk, node, total, compared) for node in nodes]
    if any(each != settings[0] for each in settings):
        raise walk.unknown(f"{nodes[0].name} and other NMS of different settings")
    found = {name: value for name, value in settings[0].items() if value is not None}
    missing = [name for name in settings[0] if name not in found]
    if missing:
        values = ", ".join(f"{name} {RELEASE[name]}" for name in missing)
        walk.notes.append(
            f"settings of NMS that are not found in the file; the release's are assumed: {values}"
        )
    return {**RELEASE, **found}


def number(walk: Walk, tensor: str) -> float | None:
    """The single number that a tensor always is, if it is one."""
    constant = walk.steps.constants.get(tensor)
    if constant is None or constant.value.size != 1 or constant.value.dtype.kind not in "iuf":
        return None
    return decimal(float(constant.value.item()))


def _read(walk: Walk, node: Node, total: float | None, compared: set[float]) -> dict[str, object]:
    # Boxes, scores, most boxes, IoU; before version 2 the IoU is an attribute. Combined NMS
    # has the most of all classes behind the most of each.
    combined = node.op == _COMBINED
    reads = [*node.inputs, *[""] * 6]
    sigma = number(walk, reads[5]) if node.op == f"{_NMS}_v5" else 0
    if sigma != 0:
        raise walk.unknown(f"{node.name}: soft NMS, which lowers scores")
    iou = number(walk, reads[3 + combined])
    given = node.attributes.get("iou_threshold")
    if iou is None and isinstance(given, float):
        iou = decimal(given)
    per_class = _least(walk, reads[2])
    total = number(walk, reads[3]) if combined else total
    return {
        "score_threshold": _score_threshold(compared, number(walk, reads[4 + combined])),
        "nms_iou_threshold": iou,
        "max_detections_per_class": _count(walk, node, per_class),
        "max_detections": _count(walk, node, total),
    }


def _count(walk: Walk, node: Node, value: float | None) -> int | None:
    """How many boxes are kept."""
    if value is not None and not 1 <= value <= MAX_DETECTIONS:
        raise walk.unknown(f"{node.name}: keeps {value:g} boxes")
    return None if value is None else int(value)


def _least(walk: Walk, tensor: str) -> float | None:
    """A number, or the one that it is never above."""
    maker = walk.makers.get(tensor)
    names = maker.inputs if maker is not None and maker.op == "minimum" else (tensor,)
    return next((value for name in names if (value := number(walk, name)) is not None), None)


def _total(walk: Walk) -> float | None:
    """The most of all classes: the sorted boxes' places range to a minimum of it."""
    nodes = walk.steps.graph.nodes
    minima = {name for node in nodes if node.op == "minimum" for name in node.outputs}
    ends = [node.inputs[1] for node in nodes if node.op == "range" and len(node.inputs) == 3]
    found = {most for end in ends if end in minima and (most := _least(walk, end)) is not None}
    return found.pop() if len(found) == 1 else None


def _compared(walk: Walk) -> set[float]:
    """Constants that something must be above; 0 is what the areas of boxes must be above."""
    return {
        value
        for node in walk.steps.graph.nodes
        if node.op in ("greater", "greater_equal")
        and len(node.inputs) == 2
        and (value := number(walk, node.inputs[1]))
    }


def _score_threshold(compared: set[float], own: float | None) -> float | None:
    """What scores must be above.

    Args:
        compared: What they may be compared with before NMS.
        own: NMS's own threshold.
    """
    if own is not None and 0 <= own < 1:
        compared = {max(own, *compared)} if compared else {own}
    return next(iter(compared)) if len(compared) == 1 and 0 <= max(compared) < 1 else None


def _explain_window(walk: Walk) -> None:
    """The window that boxes are clipped to is no weight."""
    walk.explained |= {
        name: "the window that boxes are clipped to: the whole picture"
        for name, value in walk.steps.graph.constants.items()
        if value.dtype.kind == "f" and value.size == 4 and value.ravel().tolist() == _WINDOW
    }
