"""The columns of numbers that everything here is made of."""

from array import array
from collections.abc import Iterable
from numbers import Real
from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mnv2_dense.errors import UserError

Ids = NDArray[np.int64]
Positions = NDArray[np.int64]
Numbers = NDArray[np.float64]
Marks = NDArray[np.bool_]
Bits = NDArray[np.uint64]
"""Each bit is a setting: an IoU threshold for objects of one size."""


def numbers_of(values: Iterable[Any]) -> Numbers:
    """A column of numbers; TypeError for texts, which NumPy itself would take."""
    return np.frombuffer(array("d", values), dtype=np.float64)


def whole_numbers_of(values: Iterable[Any]) -> Ids:
    """A column of whole numbers, also of 7.0 for 7, as some programs write them."""
    listed = list(values)
    try:
        column = array("q", listed)
    except TypeError:
        column = array("q", [int(each) if each == int(each) else each for each in listed])
    return np.frombuffer(column, dtype=np.int64)


def ids_of(values: ArrayLike, name: str) -> Ids:
    """Ids as whole numbers; 7.0 passes for 7, as in JSON files of some programs.

    Args:
        values: Numbers.
        name: How messages call them.

    Raises:
        UserError: One of them is no whole number.
    """
    if isinstance(values, np.ndarray) and values.dtype.kind == "i":
        return values.astype(np.int64, copy=False)
    # As objects: NumPy would make texts of all, or numbers of truth values.
    given = np.asarray(values, dtype=object)
    for each in given.flat:
        if not _is_id(each):
            raise UserError(
                f"{name}: {each!r} is no id; give whole numbers, such as 7 or 7.0, but not 7.5 "
                "or '7'"
            )
    return given.astype(np.int64)


def _is_id(value: Any) -> bool:
    # An integer of another library, as a tensor without axes, is no `Real`.
    if not isinstance(value, Real | SupportsIndex) or isinstance(value, bool | np.bool_):
        return False
    try:
        number = float(value)
    except (OverflowError, TypeError, ValueError):  # 10**400; an array of several numbers
        return False
    return number.is_integer() and -(2.0**63) <= number < 2.0**63
