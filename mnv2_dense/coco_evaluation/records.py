"""Ground truth and detections as columns of numbers, from COCO's records or from arrays."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from mnv2_dense.coco_evaluation.columns import (
    Ids,
    Marks,
    Numbers,
    ids_of,
    numbers_of,
    whole_numbers_of,
)
from mnv2_dense.errors import UserError

Record = Mapping[str, Any]


class GroundTruth(NamedTuple):
    """What detections are measured against.

    Attributes:
        image_ids: Of all images, those without objects too; ascending, each once.
        categories: Name by category id, ascending; of a class without a name, its id.
        images: int64 [N], the image id of every object.
        labels: int64 [N], its category id.
        boxes: float64 [N, 4], x, y, width, height in pixels, finite.
        areas: float64 [N], square pixels; COCO's are those of the outlines.
        crowds: bool [N]; IoU with a crowd is the share of the detection inside it, and any
            number of detections may match it.
        difficult: bool [N], neither missed nor found, as VOC has them.
    """

    image_ids: Ids
    categories: dict[int, str]
    images: Ids
    labels: Ids
    boxes: Numbers
    areas: Numbers
    crowds: Marks
    difficult: Marks


class Results(NamedTuple):
    """Detections of all images, in any order; among equal scores the first counts as better.

    Attributes:
        images: int64 [N], image ids.
        labels: int64 [N], category ids.
        boxes: float64 [N, 4], x, y, width, height in pixels.
        scores: float64 [N].
    """

    images: Ids
    labels: Ids
    boxes: Numbers
    scores: Numbers


def results_of(entries: Iterable[Record]) -> Results:
    """The columns of COCO results.

    Args:
        entries: `{"image_id", "category_id", "bbox": [x, y, width, height], "score"}` each.

    Raises:
        UserError: An entry lacks one of them or has something else than numbers there.
    """
    try:
        listed = entries if isinstance(entries, Sequence) else list(entries)
    except TypeError:
        raise UserError(f"results are {entries!r}; give a list of COCO results") from None
    columns = (
        _column(listed, "image_id", whole_numbers_of),
        _column(listed, "category_id", whole_numbers_of),
    )
    boxes = _column(listed, "bbox", _boxes)
    return Results(*columns, boxes, _column(listed, "score", numbers_of))


def results_from_arrays(
    images: ArrayLike,
    labels: ArrayLike,
    boxes: ArrayLike,
    scores: ArrayLike,
    *,
    layout: Literal["xywh", "xyxy"] = "xywh",
) -> Results:
    """Detections out of arrays or lists.

    Args:
        images: [N], image ids, whole numbers (also 7.0).
        labels: [N], category ids, likewise.
        boxes: [N, 4] in pixels; float32 corners become sides in float64, so nothing is rounded.
        scores: [N].
        layout: Of the boxes: x, y, width, height, or two corners.

    Raises:
        UserError: An id is no whole number.
        ValueError: The lengths differ, or boxes are not four numbers.
    """
    given = Results(
        ids_of(images, "images"),
        ids_of(labels, "labels"),
        np.array(boxes, dtype=np.float64).reshape(-1, 4),
        np.asarray(scores, dtype=np.float64),
    )
    if len({len(column) for column in given}) != 1:
        lengths = ", ".join(f"{len(column)} {name}" for name, column in given._asdict().items())
        raise ValueError(f"columns of different lengths: {lengths}")
    if layout == "xyxy":
        given.boxes[:, 2:] -= given.boxes[:, :2]
    return given


def records_of(results: Results) -> list[dict[str, Any]]:
    """COCO's records of columns: what JSON files hold."""
    keys = "image_id", "category_id", "bbox", "score"
    columns = (column.tolist() for column in results)
    return [dict(zip(keys, entry, strict=True)) for entry in zip(*columns, strict=True)]


def check_finite(results: Results) -> None:
    """Refuses what no program can rank or match.

    Raises:
        UserError: A box or score is not finite.
    """
    sound = np.isfinite(results.boxes).all(axis=1) & np.isfinite(results.scores)
    if sound.all():
        return
    worst = int(np.argmin(sound))
    raise UserError(
        f"a detection in image {results.images[worst]} has box {results.boxes[worst].tolist()} "
        f"and score {results.scores[worst]}; both must be finite numbers; the weights that made "
        "it have probably diverged"
    )


def _column(entries: Sequence[Record], key: str, read: Callable[[Iterable[Any]], Any]) -> Any:
    try:
        return read(map(itemgetter(key), entries))
    except (KeyError, TypeError, ValueError, OverflowError):
        position = next(
            place for place, entry in enumerate(entries) if not _reads(entry, key, read)
        )
    raise UserError(
        f"the result at position {position} has no usable {key!r}; each needs whole numbers "
        "image_id and category_id, bbox [x, y, width, height] and score"
    )


def _reads(entry: Record, key: str, read: Callable[[Iterable[Any]], Any]) -> bool:
    try:
        read([entry[key]])
    except (KeyError, TypeError, ValueError, OverflowError):
        return False
    return True


def _boxes(values: Iterable[Any]) -> Numbers:
    boxes = list(values)
    if set(map(len, boxes)) - {4}:
        raise ValueError("not four numbers")
    return numbers_of(chain.from_iterable(boxes)).reshape(-1, 4)
