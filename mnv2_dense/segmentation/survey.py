"""All masks of a data set read once, before a run depends on them."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mnv2_dense.errors import UserError
from mnv2_dense.ops.texts import list_first
from mnv2_dense.segmentation.index import SegmentationIndex
from mnv2_dense.structures import IGNORE_INDEX

THREADS = 4
"""Masks read at once; decoding PNG leaves the interpreter's lock."""


class MaskSurvey(NamedTuple):
    """What the masks of a set hold: pixels of every class, int64 [C], and masks left out."""

    pixels: NDArray[np.int64]
    bad_masks: int


def count_pixels(index: SegmentationIndex, *, skip_bad: bool = False) -> MaskSurvey:
    """Pixels of every class over all masks of an index; void does not count.

    A bad mask would otherwise be found in the midst of an epoch, one at a time. It takes about a
    millisecond per mask of VOC's size.

    Args:
        index: The masks.
        skip_bad: Whether masks that cannot be used are passed over.

    Raises:
        UserError: Some masks cannot be read or hold values that are no classes, or with
            `skip_bad` all of them; the first are named.
    """
    with ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(partial(_count, index), range(len(index))))
    problems = [each for each in found if isinstance(each, str)]
    if problems and not (skip_bad and len(problems) < len(found)):
        raise UserError(f"{len(problems)} of {len(index)} masks cannot be used: "
                        f"{list_first(problems)}")  # fmt: skip
    counts = sum((each for each in found if not isinstance(each, str)), np.zeros(256, np.int64))
    return MaskSurvey(counts[: len(index.categories)], len(problems))


def _count(index: SegmentationIndex, position: int) -> NDArray[np.int64] | str:
    """Pixels by value in a mask, int64 [256], or what is wrong with it."""
    try:
        return np.bincount(index.label_map(position).ravel(), minlength=IGNORE_INDEX + 1)
    except UserError as error:
        return str(error)


def check_classes_present(names: Iterable[str], pixels: NDArray[np.int64]) -> str | None:
    """What a user should know of the classes in training masks; None if all occur.

    Args:
        names: The classes in label order.
        pixels: Of each, over the set.

    Raises:
        UserError: There are fewer than two classes in the masks, so there is nothing to learn.
    """
    named = list(names)
    absent = [name for name, count in zip(named, pixels.tolist(), strict=True) if not count]
    if len(named) - len(absent) < 2:
        raise UserError(
            f"the training masks hold fewer than two of the {len(named)} classes (missing: "
            f"{list_first(absent)}), all else is void; masks of 0 and 255 need "
            "data.colors=[[0,0,0],[255,255,255]]"
        )
    return f"no training mask holds {list_first(absent)}" if absent else None
