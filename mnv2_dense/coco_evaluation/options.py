"""What an evaluation measures: thresholds, sizes of objects, detections per image."""

from collections.abc import Mapping, Sequence, Sized
from dataclasses import dataclass, field
from numbers import Integral, Real
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from mnv2_dense.errors import UserError

MAX_IOU_THRESHOLDS: Final = 64
"""The matches of a detection at all of them are the bits of one number."""

COCO_AREAS: Final = MappingProxyType(
    {
        "all": (0.0, 1e5**2),
        "small": (0.0, 32.0**2),
        "medium": (32.0**2, 96.0**2),
        "large": (96.0**2, 1e5**2),
    }
)
"""Square pixels of COCO's sizes; both ends belong to them."""


def _steps(first: float, last: float, step: float) -> tuple[float, ...]:
    """As pycocotools makes them: they differ from multiples of the step in the last digit."""
    return tuple(np.linspace(first, last, round((last - first) / step) + 1).tolist())


@dataclass(frozen=True)
class Options:
    """The parameters of pycocotools' `Params`, with its values for boxes.

    Instances may be pickled, copied and sent to other processes.

    Attributes:
        iou_thresholds: At which a detection may match, 1 to 64 in [0, 1], in any order.
        recall_thresholds: Where precision is read, ascending, in [0, 1].
        max_detections: Best detections per class and image that count, kept ascending; more than
            the largest number are left out before anything is matched.
        area_ranges: Least and largest area of objects in square pixels, by name.
        class_blind: Whether classes are disregarded, as pycocotools' `useCats=0` does.

    Raises:
        UserError: What should be lists are none; no or too many IoU thresholds, no recall
            thresholds or ones that do not ascend, a threshold outside [0, 1], numbers of detections
            that are not whole or below 1, no area range, or one that is not two ascending numbers.
    """

    iou_thresholds: tuple[float, ...] = _steps(0.5, 0.95, 0.05)
    recall_thresholds: tuple[float, ...] = _steps(0.0, 1.0, 0.01)
    max_detections: tuple[int, ...] = (1, 10, 100)
    area_ranges: Mapping[str, tuple[float, float]] = field(default_factory=lambda: COCO_AREAS)
    class_blind: bool = False

    def __post_init__(self) -> None:
        """Sorts the numbers of detections, as pycocotools does, and checks the rest."""
        for name in ("iou_thresholds", "recall_thresholds", "max_detections"):
            _check_list(name, getattr(self, name))
        _check_ious(self.iou_thresholds)
        _check_recalls(self.recall_thresholds)
        _check_limits(self.max_detections)
        _check_areas(self.area_ranges)
        object.__setattr__(self, "max_detections", tuple(sorted(self.max_detections)))
        # A read-only view could not be pickled.
        object.__setattr__(self, "area_ranges", dict(self.area_ranges))


def _check_list(name: str, values: Any) -> None:
    if isinstance(values, str) or not isinstance(values, Sized):
        raise UserError(f"{name} is {values!r}; give a list of numbers")


def _check_ious(thresholds: Sequence[float]) -> None:
    if not 1 <= len(thresholds) <= MAX_IOU_THRESHOLDS:
        raise UserError(f"{len(thresholds)} IoU thresholds; give 1 to {MAX_IOU_THRESHOLDS}")
    _check_shares("iou_thresholds", thresholds)


def _check_recalls(thresholds: Sequence[float]) -> None:
    if not len(thresholds):
        raise UserError("0 recall thresholds; give at least 1")
    _check_shares("recall_thresholds", thresholds)
    if list(thresholds) != sorted(thresholds):
        raise UserError(f"recall_thresholds must ascend, unlike {tuple(thresholds)}")


def _check_shares(name: str, values: Sequence[float]) -> None:
    for value in values:
        # NaN is not between any numbers.
        if not (isinstance(value, Real) and 0 <= value <= 1):
            raise UserError(f"{name} has {value!r}; give numbers from 0 to 1")


def _check_limits(limits: Sequence[int]) -> None:
    if not len(limits) or not all(isinstance(each, Integral) and each >= 1 for each in limits):
        raise UserError(
            f"max_detections {tuple(limits)}: give whole numbers of at least 1, one or more"
        )


def _check_areas(ranges: Mapping[str, Sequence[float]]) -> None:
    if not isinstance(ranges, Mapping):
        raise UserError(f"area_ranges is {ranges!r}; give ranges by name: {{'all': (0, 1e10)}}")
    if not ranges:
        raise UserError("area_ranges is empty; give at least one, such as {'all': (0, 1e10)}")
    for name, ends in ranges.items():
        pair = isinstance(ends, Sized) and len(ends) == 2
        numbers = pair and all(isinstance(end, Real) for end in ends)
        if not numbers or not ends[0] <= ends[1]:
            raise UserError(
                f"area_ranges has {ends!r} for {name!r}; give the least and the largest area, two "
                "numbers, the least first"
            )
