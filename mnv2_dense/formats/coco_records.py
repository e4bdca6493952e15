"""Which records of COCO's files can be used."""

import os
import sys
from collections.abc import Callable
from typing import TypeGuard

from mnv2_dense.formats.records import Record

MAX_NAME = 4096
"""Bytes of the longest path that systems take."""


def is_whole(value: object, least: int = -(2**63)) -> TypeGuard[int]:
    """Whether it is a whole number that fits 64 bits; JSON's true and false are not."""
    return type(value) is int and least <= value < 2**63


def has_id(entry: object) -> TypeGuard[Record]:
    """Whether it is an object with a whole-number id."""
    return isinstance(entry, dict) and is_whole(entry.get("id"))


def is_image(image: Record) -> bool:
    """Whether it has a file_name that a file can have, and whole sides of 1 or more."""
    name = image.get("file_name")
    sides = [image.get("width"), image.get("height")]
    return is_file_name(name) and all(is_whole(side, 1) for side in sides)


def is_file_name(name: object) -> TypeGuard[str]:
    """Whether it is a text that a file can have as its name; half a surrogate pair is none."""
    if not isinstance(name, str):
        return False
    try:
        return 0 < len(os.fsencode(name)) <= MAX_NAME
    except UnicodeEncodeError:
        return False


def is_box(value: object) -> bool:
    """Whether it is four numbers."""
    if not isinstance(value, list) or len(value) != 4:
        return False
    kinds = set(map(type, value))
    if kinds == {float}:
        return True
    return kinds <= {float, int} and all(type(each) is float or is_whole(each) for each in value)


def is_area(value: object) -> bool:
    """Whether it is a finite number of 0 or more."""
    return isinstance(value, int | float) and 0 <= value <= sys.float_info.max


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


def is_sound(entry: Record) -> bool:
    """Whether an annotation fulfils all of `ANNOTATION_RULES`, in less time."""
    given = entry.get
    marked = given("iscrowd", 0) in (0, 1) and given("difficult", 0) in (0, 1)
    return marked and is_box(given("bbox")) and is_area(given("area", 0))
