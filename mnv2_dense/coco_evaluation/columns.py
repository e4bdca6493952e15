"""The columns of numbers that everything here is made of."""

from array import array
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
