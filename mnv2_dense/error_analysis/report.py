"""What an error analysis says."""

from collections.abc import Mapping
from typing import Any, NamedTuple


class Loss(NamedTuple):
    """What errors of one kind cost.

    Attributes:
        dap: AP at IoU 0.5 with these errors fixed, minus AP as it is, in [0, 1].
        count: How many there are.
    """

    dap: float
    count: int

    def as_dict(self) -> dict[str, Any]:
        """Both as JSON values."""
        return self._asdict()


class ClassErrors(NamedTuple):
    """The errors of one class.

    Attributes:
        category_id: COCO's number of it.
        name: Its name; "name (category_id)" where several categories share a name.
        objects: How many there are to be found.
        ap50: AP at IoU 0.5; -1 of a class without objects, which loses nothing.
        errors: By kind, as in `ErrorAnalysis`. A detection is counted in the class that it has, a
            missed object in its own; a wrong class costs AP in both.
        false_positives: See `ErrorAnalysis`.
        false_negatives: See `ErrorAnalysis`.
    """

    category_id: int
    name: str
    objects: int
    ap50: float
    errors: Mapping[str, Loss]
    false_positives: Loss
    false_negatives: Loss

    def as_dict(self) -> dict[str, Any]:
        """All as JSON values."""
        return {**self._asdict(), **_losses(self)}


class Confusion(NamedTuple):
    """Detections of one class where an object of another is: errors of classification.

    Attributes:
        true: Name of the object's class.
        predicted: Name of the class that was detected.
        count: How many.
    """

    true: str
    predicted: str
    count: int


class ErrorAnalysis(NamedTuple):
    """Where AP at IoU 0.5 is lost.

    Attributes:
        ap50: AP at IoU 0.5; -1 where there are no objects, and then nothing is lost.
        images: How many were looked at.
        errors: By kind: `classification`, `localization`, `both`, `duplicate`, `background` and
            `missed`, in this order. The losses need not add up to 1 - AP.
        false_positives: What all wrong detections cost together, found by leaving them out.
        false_negatives: What all objects that are not found cost together, likewise.
        classes: One entry per category, by category id.
        confusions: Pairs of classes, the most frequent one first.
    """

    ap50: float
    images: int
    errors: Mapping[str, Loss]
    false_positives: Loss
    false_negatives: Loss
    classes: tuple[ClassErrors, ...]
    confusions: tuple[Confusion, ...]

    def as_dict(self) -> dict[str, Any]:
        """All as JSON values, by the names of the attributes."""
        return {
            **self._asdict(),
            **_losses(self),
            "classes": [each.as_dict() for each in self.classes],
            "confusions": [each._asdict() for each in self.confusions],
        }


def _losses(part: ClassErrors | ErrorAnalysis) -> dict[str, Any]:
    return {
        "errors": {kind: loss.as_dict() for kind, loss in part.errors.items()},
        "false_positives": part.false_positives.as_dict(),
        "false_negatives": part.false_negatives.as_dict(),
    }
