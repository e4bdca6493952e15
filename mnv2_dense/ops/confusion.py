"""Counts of predicted against true classes."""

import torch
from torch import Tensor

from mnv2_dense.structures import IGNORE_INDEX

_CHUNK = 2**22
"""Pixels counted at once: their int64 indices are eight times the size of a uint8 map."""


def confusion_matrix(
    predicted: Tensor, reference: Tensor, num_classes: int, ignore_index: int = IGNORE_INDEX
) -> Tensor:
    """Pixels by true class (row) and predicted class (column), int64 [C, C].

    Args:
        predicted: Class indices of any integer type and shape.
        reference: True class indices of the same shape; `ignore_index` where there is none.
        num_classes: C.
        ignore_index: Pixels with this reference are not counted, whatever was predicted there.

    Raises:
        ValueError: The shapes differ, the values are no integers, or a counted one is no class.
    """
    if predicted.shape != reference.shape:
        raise ValueError(
            f"predicted has the shape {tuple(predicted.shape)}, reference {tuple(reference.shape)}"
        )
    _check_integers(predicted, reference)
    matrix = torch.zeros(num_classes, num_classes, dtype=torch.int64, device=predicted.device)
    chunks = (maps.reshape(-1).split(_CHUNK) for maps in (predicted, reference))
    for columns, rows in zip(*chunks, strict=True):
        # Compared as int64: as uint8, an ignore_index of -1 would stand for 255.
        counted = rows.long() != ignore_index
        columns, rows = columns[counted].long(), rows[counted].long()
        _check_classes("predicted", columns, num_classes)
        _check_classes("reference", rows, num_classes)
        counts = torch.bincount(rows * num_classes + columns, minlength=num_classes**2)
        matrix += counts.reshape(num_classes, num_classes)
    return matrix


def _check_integers(*maps: Tensor) -> None:
    for values in maps:
        if values.is_floating_point() or values.is_complex() or values.dtype == torch.bool:
            raise ValueError(f"class indices are integers, not {values.dtype}")


def _check_classes(what: str, values: Tensor, num_classes: int) -> None:
    if not values.numel():
        return
    low, high = (int(value) for value in values.aminmax())
    if low < 0 or high >= num_classes:
        wrong = low if low < 0 else high
        raise ValueError(f"{what} holds class {wrong}; allowed are 0 to {num_classes - 1}")
