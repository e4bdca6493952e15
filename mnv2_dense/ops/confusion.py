"""Counts of predicted against true classes."""

from collections.abc import Iterator

import torch
from torch import Tensor

from mnv2_dense.structures import IGNORE_INDEX

_CHUNK = 2**17
"""Pixels counted at once: what is computed of them stays in a processor's cache."""
_LANES = 4
"""Counters of a bin, taken in turn: neighbours are of one class, and an addition would wait for
the one before it to the same counter."""
_FARTHEST = 2**15
"""Of an `ignore_index`: whatever lies between it and the classes has bins."""


def confusion_matrix(
    predicted: Tensor, reference: Tensor, num_classes: int, ignore_index: int = IGNORE_INDEX
) -> Tensor:
    """Pixels by true class (row) and predicted class (column), int64 [C, C].

    What is no class is counted too, in bins of its own: one look at them, after all pixels, says
    whether every value was allowed.

    Args:
        predicted: Class indices of any integer type and shape.
        reference: True class indices of the same shape; `ignore_index` where there is none.
        num_classes: C.
        ignore_index: Pixels with this reference are not counted, whatever was predicted there.

    Raises:
        ValueError: The shapes differ, the values are no integers, a counted one is no class, or
            `ignore_index` is far from all classes.
    """
    if predicted.shape != reference.shape:
        raise ValueError(
            f"predicted has the shape {tuple(predicted.shape)}, reference {tuple(reference.shape)}"
        )
    _check_integers(predicted, reference)
    if abs(ignore_index) > _FARTHEST:
        raise ValueError(f"ignore_index {ignore_index}: at most {_FARTHEST} from 0")
    # Beyond the outermost values that mean something, one bin stands for all.
    across = range(-1, num_classes + 1)
    down = range(min(-1, ignore_index - 1), max(num_classes, ignore_index + 1) + 1)
    counts = torch.zeros(len(down), len(across), dtype=torch.int64, device=predicted.device)
    for columns, rows in _chunks(predicted, reference):
        counts += _count(rows, down, columns, across)
    if down.start <= ignore_index < down.stop:
        counts[ignore_index - down.start] = 0
    classes = slice(-down.start, num_classes - down.start)
    matrix = counts[classes, 1:-1]
    if bool(counts.sum() != matrix.sum()):
        _refuse(predicted, reference, num_classes, ignore_index)
    return matrix.clone()


def _check_integers(*maps: Tensor) -> None:
    for values in maps:
        if values.is_floating_point() or values.is_complex() or values.dtype == torch.bool:
            raise ValueError(f"class indices are integers, not {values.dtype}")


def _chunks(*maps: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Values of the same pixels, flat; of views that cannot be flattened, parts are copied."""
    pixels = maps[0].numel()
    if pixels <= _CHUNK or all(each.is_contiguous() for each in maps):
        yield from zip(*(each.reshape(-1).split(_CHUNK) for each in maps), strict=True)
        return
    rows = max(1, _CHUNK * len(maps[0]) // pixels)
    for parts in zip(*(each.split(rows) for each in maps), strict=True):
        yield from _chunks(*(part[0] if rows == 1 else part for part in parts))


def _count(rows: Tensor, down: range, columns: Tensor, across: range) -> Tensor:
    """Pixels by row and column, int64 [len(down), len(across)]."""
    bins = len(down) * len(across)
    # The smallest type that holds them: moving memory is what costs.
    kinds = (torch.int16, torch.int32, torch.int64)
    kind = next(kind for kind in kinds if _LANES * bins <= torch.iinfo(kind).max)
    first = down.start * len(across) + across.start
    places = _clamp(rows, down, kind).mul_(len(across)).add_(_clamp(columns, across, kind))
    for lane in range(_LANES):
        places[lane::_LANES] += lane * bins - first
    counts = torch.bincount(places, minlength=_LANES * bins)
    return counts.view(_LANES, len(down), len(across)).sum(0)


def _clamp(values: Tensor, allowed: range, kind: torch.dtype) -> Tensor:
    if values.dtype in (torch.uint16, torch.uint32, torch.uint64):
        values = values.long()  # Torch holds them, and does not compare them.
    limits = torch.iinfo(values.dtype)
    low, high = max(allowed[0], limits.min), min(allowed[-1], limits.max)
    # What all values of the type are is not looked for.
    clamped = values if (low, high) == (limits.min, limits.max) else values.clamp(low, high)
    return clamped.to(kind, copy=clamped is values)


def _refuse(predicted: Tensor, reference: Tensor, num_classes: int, ignore_index: int) -> None:
    """Says which value is no class."""
    for columns, rows in _chunks(predicted, reference):
        counted = rows.long() != ignore_index
        for what, values in (("predicted", columns[counted]), ("reference", rows[counted])):
            low, high = (int(value) for value in values.long().aminmax()) if len(values) else (0, 0)
            if low < 0 or high >= num_classes:
                wrong = low if low < 0 else high
                raise ValueError(f"{what} holds class {wrong}; allowed are 0 to {num_classes - 1}")
