"""How a detector's file turns class outputs into scores, and which column is background's."""

import numpy as np

from mnv2_dense.importing.slices import cut
from mnv2_dense.importing.steps import Operation
from mnv2_dense.importing.walk import KEEPING, Walk

_SCORES = ("sigmoid", "softmax")
_SLICES = ("slice", "strided_slice")
_POST_PROCESS = "detection_post_process"


def is_scored(walk: Walk, number: int) -> bool:
    """Whether a step is turned into scores."""
    return _score_step(walk, number) is not None


def score_loss(walk: Walk, number: int, slots: int) -> str:
    """The config's `loss.classification` that goes with a file's scores.

    Args:
        walk: The file's steps.
        number: The class outputs.
        slots: Their columns.

    Raises:
        UserError: Scores are computed otherwise, or background is not their first column.
    """
    found = _score_step(walk, number)
    assert found is not None
    step = walk.operation(found)
    if step.node.attributes.get("beta", 1) != 1:
        raise walk.unknown(f"{step.node.name}: a softmax of beta {step.node.attributes['beta']}")
    _check_columns(walk, found, slots)
    return step.node.op


def _score_step(walk: Walk, number: int) -> int | None:
    """The sigmoid or softmax over a step, which may first be shaped, or scaled by 1."""
    readers = walk.operations_behind(number, _changes_nothing)
    return next((each for each in readers if walk.operation(each).node.op in _SCORES), None)


def _changes_nothing(step: Operation) -> bool:
    return step.node.op in KEEPING or _is_by_one(step)


def _is_by_one(step: Operation) -> bool:
    """Whether a step multiplies with 1 or divides by it."""
    if step.node.op not in ("div", "mul") or len(step.constants) != 1:
        return False
    ((place, constant),) = step.constants.items()
    return bool(np.all(constant.value == 1)) and (step.node.op == "mul" or place == 1)


def _check_columns(walk: Walk, number: int, slots: int) -> None:
    """Refuses scores whose first column is not cut off as background's."""
    readers = walk.operations_behind(number)
    slices = [walk.operation(each) for each in readers if walk.operation(each).node.op in _SLICES]
    for step in slices:
        if cut(step, slots) != (1, slots):
            raise walk.unknown(f"{step.node.name} takes other scores than all but the first column")
    others = [walk.operation(each).node for each in readers]
    if slices or any(node.op == _POST_PROCESS for node in others):
        return
    if others:
        raise walk.unknown(
            f"{others[0].name} ({others[0].op}) where the scores' first column, background, is cut "
            "off"
        )
    walk.notes.append(
        "the file does not say which class column is background's; the first is assumed"
    )
