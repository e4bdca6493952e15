"""Which records of COCO's files can be used."""

import math
from collections.abc import Callable
from typing import TypeGuard

from mnv2_dense.formats.box_set import Record


def is_whole(value: object, least: int = -(2**63)) -> bool:
    """Whether it is a whole number that fits 64 bits; JSON's true and false are not."""
    return type(value) is int and least <= value < 2**63


def has_id(entry: object) -> TypeGuard[Record]:
    """Whether it is an object with a whole-number id."""
    return isinstance(entry, dict) and is_whole(entry.get("id"))


def is_image(image: Record) -> bool:
    """Whether it has a file_name, and whole sides of 1 or more."""
    name = image.get("file_name")
    sides = [image.get("width"), image.get("height")]
    return isinstance(name, str) and name != "" and all(is_whole(side, 1) for side in sides)


def is_box(value: object) -> bool:
    """Whether it is four numbers."""
    if not isinstance(value, list) or len(value) != 4:
        return False
    return all(type(number) is float or is_whole(number) for number in value)


def is_area(value: object) -> bool:
    """Whether it is a finite number of 0 or more."""
    return isinstance(value, int | float) and 0 <= value < math.inf


ANNOTATION_RULES: tuple[tuple[str, str, Callable[[Record], bool]], ...] = (
    (
        "bad_box_record",
        "bbox is not four numbers (x, y, width, height)",
        lambda entry: is_box(entry.get("bbox")),
    ),
    (
        "bad_iscrowd",
        "iscrowd is neither 0 nor 1",
        lambda entry: entry.get("iscrowd", 0) in (0, 1),
    ),
    (
        "bad_difficult",
        "difficult is neither 0 nor 1",
        lambda entry: entry.get("difficult", 0) in (0, 1),
    ),
    (
        "bad_area",
        "area is no number of 0 or more",
        lambda entry: is_area(entry.get("area", 0)),
    ),
)
"""Kind and title of what is wrong with an annotation, and what a sound one fulfils."""
