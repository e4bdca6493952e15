"""What a segmenter's file makes of its logits: it must be what we predict."""

from mnv2_dense.importing.slices import cut
from mnv2_dense.importing.steps import Operation
from mnv2_dense.importing.walk import KEEPING, Walk

_SLICES = ("slice", "strided_slice")
_OF_LOGITS = (*KEEPING, *_SLICES, "cast", "resize_bilinear", "softmax", "arg_max")
_OF_LABELS = (*KEEPING, *_SLICES, "cast", "resize_nearest_neighbor")


def check_results(walk: Walk, logits: int, count: int) -> None:
    """Refuses results that are not the likeliest of the bilinearly resized logits' classes.

    Args:
        walk: The file's steps.
        logits: The layer of logits.
        count: Its classes.

    Raises:
        UserError: Something else is done to the logits, or to the labels.
    """
    waiting = [(number, False) for number in walk.operations_after(logits)]
    seen: set[tuple[int, bool]] = set()
    while waiting:
        number, labels = waiting.pop()
        if (number, labels) in seen:
            continue
        seen.add((number, labels))
        step = walk.operation(number)
        known = step.node.op in (_OF_LABELS if labels else _OF_LOGITS)
        if not known or not (labels or _keeps_classes(step, count)):
            stage = "labels" if labels else "logits"
            raise walk.unknown(f"{step.node.name} ({step.node.op}) behind the {stage}")
        labels = labels or step.node.op == "arg_max"
        waiting += [(reader, labels) for reader in walk.operations_after(number)]


def _keeps_classes(step: Operation, count: int) -> bool:
    """Whether classes stay the last axis, all of them."""
    if step.node.op == "arg_max":
        axis = step.constants.get(1)
        return axis is not None and axis.value.size == 1 and axis.value.item() in (3, -1)
    if step.node.op == "softmax":
        return step.node.attributes.get("beta", 1) == 1
    if step.node.op in _SLICES:
        return cut(step, count) == (0, count)
    return True
