"""Pascal VOC's lists of pictures (ImageSets/Main/train.txt)."""

import re
from collections import Counter
from collections.abc import Collection
from pathlib import Path

from mnv2_dense.errors import UserError
from mnv2_dense.formats.picture_files import is_picture, read_list, stem_of
from mnv2_dense.formats.problems import Level, Problem, errors_at
from mnv2_dense.image_files import leaves_folder
from mnv2_dense.quoting import quote

_OF_A_CLASS = re.compile(r"\S+\s+(?:-1|0|1)")
"""A line of VOC's lists of one class: whether a picture has it."""


def read_keys(file: Path, known: Collection[str], problems: list[Problem]) -> list[str]:
    """The pictures of a list, each once, without their extensions; adds what is wrong with it.

    Args:
        file: The list.
        known: Keys that there are: a line that is one stands for it, whatever it looks like
            (`p.jpg` of p.jpg.png, `photo 1`).
        problems: Added to.

    Raises:
        UserError: It cannot be read, is empty, or is one of a single class.
    """
    lines = read_list(file)
    if all(_OF_A_CLASS.fullmatch(line) and line not in known for line in lines):
        raise UserError(
            f"{file}: a list of one class (-1, 0 or 1 behind every picture); give the list of all "
            "pictures (ImageSets/Main/train.txt), and data.classes to train on one class"
        )
    counts = Counter(line if line in known else _key_of_line(line) for line in lines)
    twice = [key for key in counts if counts[key] > 1]
    title = f"{file}: pictures listed twice, taken once:"
    problems += errors_at("listed_twice", title, map(quote, twice), level=Level.PROBLEM)
    outside = [key for key in counts if leaves_folder(key)]
    title = f"{file}: names leave the image folder (absolute or '..'):"
    problems += errors_at("outside_folder", title, map(quote, outside))
    return [key for key in counts if not leaves_folder(key)]


def _key_of_line(line: str) -> str:
    named = is_picture(line) or line.lower().endswith(".xml")
    return (stem_of(line) if named else line).removeprefix("./")
