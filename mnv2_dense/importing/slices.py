"""Which part of a map's last axis an operation takes."""

import numpy as np

from mnv2_dense.importing.steps import Operation


def cut(step: Operation, count: int) -> tuple[int, int] | None:
    """First and end of what a Slice or StridedSlice takes of the last axis.

    Args:
        step: The operation.
        count: Size of that axis.

    Returns:
        None if it is not known, or not every value in between is taken.
    """
    begin = _last(step, 1)
    if begin is None:
        return None
    if step.node.op == "slice":
        size = _last(step, 2)
        if size is None or begin < 0:
            return None
        return begin, count if size == -1 else begin + size
    return _strided(step, begin, count)


def _strided(step: Operation, begin: int, count: int) -> tuple[int, int] | None:
    end, stride = _last(step, 2), _last(step, 3)
    bit = step.constants[1].value.size - 1
    names = ("begin", "end", "shrink_axis", "new_axis", "ellipsis")
    given = {name: step.node.attributes.get(f"{name}_mask", 0) for name in names}
    if not all(isinstance(mask, int) for mask in given.values()):
        return None
    masks = {name: mask >> bit & 1 for name, mask in given.items()}
    if stride != 1 or masks["shrink_axis"] or masks["new_axis"] or masks["ellipsis"]:
        return None
    if end is None and not masks["end"]:
        return None
    taken = slice(None if masks["begin"] else begin, None if masks["end"] else end)
    first, last, _ = taken.indices(count)
    return first, last


def _last(step: Operation, place: int) -> int | None:
    """The last of the constant integers that an operation reads."""
    constant = step.constants.get(place)
    if constant is None or not constant.value.size or constant.value.dtype.kind not in "iu":
        return None
    return int(np.ravel(constant.value)[-1])
