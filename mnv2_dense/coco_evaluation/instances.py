"""The columns of COCO's instances files."""

from collections.abc import Sequence
from itertools import chain
from operator import itemgetter
from typing import Any

import numpy as np

from mnv2_dense.coco_evaluation.columns import Marks, Numbers, numbers_of, whole_numbers_of
from mnv2_dense.coco_evaluation.records import GroundTruth, Record
from mnv2_dense.errors import UserError


def ground_truth_of(content: Any, name: str = "the ground truth") -> GroundTruth:
    """The columns of a COCO instances file's content.

    Objects whose box is not four finite numbers are left out: COCOeval would match anything to
    them. A missing `area` is width x height, a missing `iscrowd` or `difficult` 0; a category
    without a name is called by its id. Ids of annotations are not looked at: they may repeat, and 0
    is as good as another.

    Args:
        content: The JSON.
        name: How messages call it.

    Raises:
        UserError: It lacks images, annotations or categories with COCO's fields.
    """
    try:
        return _read_content(content)
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
        raise UserError(
            f"{name} is no COCO instances file ({error!r}); it needs images, annotations and "
            "categories with COCO's fields"
        ) from error


def _read_content(content: Record) -> GroundTruth:
    usable = [entry for entry in content["annotations"] if len(entry["bbox"]) == 4]
    boxes = numbers_of(chain.from_iterable(map(itemgetter("bbox"), usable))).reshape(-1, 4)
    finite = np.isfinite(boxes).all(axis=1)
    category_ids = whole_numbers_of(map(itemgetter("id"), content["categories"])).tolist()
    # COCOeval needs no names.
    names = [
        str(entry.get("name", number))
        for number, entry in zip(category_ids, content["categories"], strict=True)
    ]
    return GroundTruth(
        image_ids=np.unique(whole_numbers_of(map(itemgetter("id"), content["images"]))),
        categories=dict(sorted(zip(category_ids, names, strict=True))),
        images=whole_numbers_of(map(itemgetter("image_id"), usable))[finite],
        labels=whole_numbers_of(map(itemgetter("category_id"), usable))[finite],
        boxes=boxes[finite],
        areas=_areas(usable, boxes)[finite],
        crowds=_marks(usable, "iscrowd")[finite],
        difficult=_marks(usable, "difficult")[finite],
    )


@np.errstate(over="ignore")
def _areas(entries: Sequence[Record], boxes: Numbers) -> Numbers:
    products = (boxes[:, 2] * boxes[:, 3]).tolist()
    return numbers_of(
        entry.get("area", area) for entry, area in zip(entries, products, strict=True)
    )


def _marks(entries: Sequence[Record], key: str) -> Marks:
    return np.fromiter((bool(entry.get(key, 0)) for entry in entries), np.bool_, len(entries))
