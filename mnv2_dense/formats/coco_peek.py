"""A first look at JSON files: which are COCO's, without reading them whole."""

import json
import mmap
import re
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from mnv2_dense.errors import UserError
from mnv2_dense.formats.coco_sections import SECTIONS
from mnv2_dense.formats.layout_parts import join, subfolders
from mnv2_dense.image_files import list_files

_FILE_NAME = re.compile(rb'"file_name"\s*:\s*("(?:[^"\\]|\\.){1,4096}")')
_LOOKED_FOR = 50
"""Pictures of a file that tell its folder; the first alone may be missing."""


class Peek(NamedTuple):
    """What a JSON file is.

    Attributes:
        pictures: The first file names of an instances file.
        lacks: Why it is none; None if it is one.
    """

    pictures: list[str]
    lacks: str | None = None


def json_files(folder: Path) -> list[str]:
    """Files of JSON in a folder and in those directly in it, relative to it."""
    return [
        join(parent, name)
        for parent in ("", *subfolders(folder))
        for name in sorted(list_files(folder / parent))
        if name.lower().endswith(".json")
    ]


def peek(file: Path) -> Peek:
    """Whether a file is COCO's, and its first pictures.

    The text is searched, not parsed: COCO's has 450 MB.

    Raises:
        UserError: It is one, but its file names are no UTF-8, or it cannot be read.
    """
    try:
        with file.open("rb") as stream:
            encoding = json.detect_encoding(stream.read(4).ljust(4))
            if not file.stat().st_size:
                return Peek([], "empty file")
            if not encoding.startswith("utf-8"):
                return _search_other(file.read_bytes(), encoding, file)
            with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as text:
                return _search(text, file)
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror})") from error


def _search_other(text: bytes, encoding: str, file: Path) -> Peek:
    try:
        return _search(text.decode(encoding).encode(), file)
    except UnicodeError:
        return Peek([], f"not in {encoding.upper()}, as its first bytes say")


def _search(text: bytes | mmap.mmap, file: Path) -> Peek:
    absent = [key for key in SECTIONS if text.find(f'"{key}"'.encode()) < 0]
    if absent:
        return Peek([], f"no '{absent[0]}' in it; cut short, or of another format")
    found = [each[1] for each in islice(_FILE_NAME.finditer(text), _LOOKED_FOR)]
    if not found:
        return Peek([], "no file_name of a picture in it")
    try:
        return Peek([str(json.loads(name)) for name in found])
    except UnicodeDecodeError as error:
        raise UserError(f"{file}: its text is not in UTF-8; save it so ({error})") from error
    except ValueError as error:
        raise UserError(f"{file}: a file_name is no JSON text ({error})") from error
