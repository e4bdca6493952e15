"""One of Pascal VOC's XML files, whoever wrote it."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from mnv2_dense.formats.box_set import Record
from mnv2_dense.formats.class_names import is_class_name
from mnv2_dense.formats.numbers import parse_number
from mnv2_dense.formats.problems import Problem, errors_at
from mnv2_dense.formats.stamps import Stamp, stamp_of
from mnv2_dense.quoting import quote
from mnv2_dense.small_files import read_start
from mnv2_dense.structures import ImageSize

MAX_BYTES = 4 << 20
"""Larger files are refused: this is room for ten thousand objects."""
MAX_TAGS = 400_000
"""Opening and closing ones; files of more are refused: forty for each of so many objects."""

_LONGEST_FILE_NAME = 255
CORNERS = ("xmin", "ymin", "xmax", "ymax")
FLAGS = ("truncated", "occluded", "iscrowd")
"""Kept where they are 0 or 1. VOC knows no crowds: `write_voc` marks those of COCO so."""


class XmlError(ValueError):
    """Why a file cannot be read as an annotation."""


class VocObject(NamedTuple):
    """One object of a file.

    Attributes:
        number: Its place among the objects of the file, from 1.
        name: Its class.
        bbox: [x, y, width, height] in pixels from 0.
        extras: `difficult` (0 or 1) and, where given, `truncated`, `occluded`, `iscrowd` and
            `pose`.
    """

    number: int
    name: str
    bbox: list[float]
    extras: Record


class VocFile(NamedTuple):
    """What a file says.

    Attributes:
        filename: The picture's name without folders, as the file has it; perhaps empty.
        size: The picture's size; None where it is missing, or not of whole numbers above 0.
        objects: Those that can be used.
        mistakes: Number of every other object, and what is wrong with it.
    """

    filename: str
    size: ImageSize | None
    objects: list[VocObject]
    mistakes: list[tuple[int, str]]


def read_xml(file: Path) -> VocFile:
    """The picture and the objects of a file, which is kept as it was read: see `forget`.

    VOC counts pixels from 1 and its boxes include the last one: the left and top edges are a pixel
    less than it says (as in detectron2). Boxes are not judged here. Parts of objects are passed
    over.

    Raises:
        XmlError: It cannot be read, is no complete XML, declares a document type (VOC's files have
            none, and entities can be bombs), is too large, or holds something else.
    """
    return _read_state(file, stamp_of(file))


def forget() -> None:
    """Gives back the memory of the files that were read."""
    _read_state.cache_clear()


@cache  # The classes are looked for in all files before one is used.
def _read_state(file: Path, stamp: Stamp) -> VocFile:
    root = _parse(file)
    if root.tag != "annotation":
        raise XmlError(f"the outermost element is <{quote(root.tag)}>, not VOC's <annotation>")
    objects: list[VocObject] = []
    mistakes: list[tuple[int, str]] = []
    for number, element in enumerate(root.findall("object"), start=1):
        try:
            objects.append(_object(number, element))
        except XmlError as error:
            mistakes.append((number, str(error)))
    filename = _text(root, "filename").replace("\\", "/").rpartition("/")[2]
    return VocFile(filename[:_LONGEST_FILE_NAME], _size(root.find("size")), objects, mistakes)


def read_folder(
    folder: Path, names: Mapping[str, str], problems: list[Problem]
) -> dict[str, VocFile]:
    """What the files of a folder say, by key; those that cannot be read are added to `problems`."""
    contents: dict[str, VocFile] = {}
    for key, name in names.items():
        try:
            contents[key] = read_xml(folder / name)
        except XmlError as error:
            title = f"{folder}: XML files that cannot be used:"
            problems += errors_at("bad_xml", title, [f"{name} ({error})"])
    return contents


class _Builder(ElementTree.TreeBuilder):
    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        raise XmlError("it declares a document type (<!DOCTYPE>), which is refused")


def _parse(file: Path) -> ElementTree.Element:
    try:
        data = read_start(file, MAX_BYTES + 1)
    except OSError as error:
        raise XmlError(f"cannot be read ({error.strerror})") from error
    if len(data) > MAX_BYTES:
        raise XmlError(f"larger than {MAX_BYTES >> 20} MiB")
    if data.count(b"<") > MAX_TAGS:  # Memory is fifty times the text of empty elements.
        raise XmlError(f"more than {MAX_TAGS:,} tags")
    try:
        return ElementTree.fromstring(data, ElementTree.XMLParser(target=_Builder()))
    except XmlError:
        raise
    except (ElementTree.ParseError, ValueError, LookupError) as error:  # Others: its encoding.
        raise XmlError(f"not complete XML ({error})") from error


def _text(element: ElementTree.Element, key: str) -> str:
    return (element.findtext(key) or "").strip()


def _size(element: ElementTree.Element | None) -> ImageSize | None:
    if element is None:
        return None
    try:
        height, width = (parse_number(_text(element, key)) for key in ("height", "width"))
    except ValueError:
        return None
    whole = all(side.is_integer() and 1 <= side < 2**31 for side in (height, width))
    return ImageSize(int(height), int(width)) if whole else None


def _object(number: int, element: ElementTree.Element) -> VocObject:
    name = _text(element, "name")
    if not name:
        raise XmlError("no <name>")
    if not is_class_name(name):
        raise XmlError(f"<name> is {quote(name)}, no text of one line, or too long")
    box = element.find("bndbox")
    if box is None:
        raise XmlError("no <bndbox>")
    xmin, ymin, xmax, ymax = (_number(box, key) for key in CORNERS)
    bbox = [xmin - 1, ymin - 1, xmax - (xmin - 1), ymax - (ymin - 1)]
    return VocObject(number, name, bbox, _extras(element))


def _number(box: ElementTree.Element, key: str) -> float:
    text = _text(box, key)
    try:
        return parse_number(text)
    except ValueError:
        raise XmlError(
            f"<{key}> is {quote(text)!r}, no number" if text else f"no <{key}>"
        ) from None


def _extras(element: ElementTree.Element) -> Record:
    difficult = _text(element, "difficult") or "0"
    if difficult not in ("0", "1"):
        raise XmlError(f"<difficult> is {quote(difficult)!r}, neither 0 nor 1")
    flags = {key: _text(element, key) for key in FLAGS}
    known = {key: int(text) for key, text in flags.items() if text in ("0", "1")}
    pose = _text(element, "pose")
    return {"difficult": int(difficult), **known, **({"pose": pose} if pose else {})}
