"""What an evaluation measures: thresholds, sizes of objects, detections per image."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

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

    Attributes:
        iou_thresholds: At which a detection may match, at most 64.
        recall_thresholds: Where precision is read, ascending.
        max_detections: Best detections per class and image that count; more than the largest
            number are left out before anything is matched.
        area_ranges: Least and largest area of objects in square pixels, by name.
        class_blind: Whether classes are disregarded, as pycocotools' `useCats=0` does.

    Raises:
        UserError: No or too many IoU thresholds, recall thresholds that do not ascend, numbers of
            detections below 1, or an area range without its two ends.
    """

    iou_thresholds: tuple[float, ...] = _steps(0.5, 0.95, 0.05)
    recall_thresholds: tuple[float, ...] = _steps(0.0, 1.0, 0.01)
    max_detections: tuple[int, ...] = (1, 10, 100)
    area_ranges: Mapping[str, tuple[float, float]] = field(default_factory=lambda: COCO_AREAS)
    class_blind: bool = False

    def __post_init__(self) -> None:
        """Sorts the numbers of detections, as pycocotools does, and checks the rest."""
        object.__setattr__(self, "max_detections", tuple(sorted(self.max_detections)))
        if not 1 <= len(self.iou_thresholds) <= MAX_IOU_THRESHOLDS:
            raise UserError(
                f"{len(self.iou_thresholds)} IoU thresholds; give 1 to {MAX_IOU_THRESHOLDS}"
            )
        if list(self.recall_thresholds) != sorted(self.recall_thresholds):
            raise UserError("recall_thresholds must ascend")
        if not self.max_detections or self.max_detections[0] < 1:
            raise UserError(f"max_detections {self.max_detections}: give numbers of at least 1")
        if not all(len(ends) == 2 for ends in self.area_ranges.values()):
            raise UserError("area_ranges: give the least and the largest area of each")
