"""The three lists of a COCO instances file, read entry by entry."""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mnv2_dense.errors import UserError
from mnv2_dense.formats.coco_annotations import AnnotationEntries
from mnv2_dense.formats.coco_records import has_id
from mnv2_dense.formats.coco_stream import JsonReader
from mnv2_dense.formats.problems import Places, Problem
from mnv2_dense.formats.records import Record
from mnv2_dense.quoting import quote

MAX_ENTRIES = {"images": 4_000_000, "annotations": 50_000_000, "categories": 100_000}
"""Longer lists are refused: of each they take 1 to 4 GB."""
SECTIONS = tuple(MAX_ENTRIES)

_OF_IMAGES = ("id", "file_name", "width", "height")


class ListedEntries:
    """Entries of a list that are objects with ids.

    Args:
        keys: Fields to keep; None keeps all.
    """

    def __init__(self, keys: tuple[str, ...] | None) -> None:
        self.entries: list[Record] = []
        self._keys = keys
        self._without_id = Places()
        self._doubled = Places()

    def take(self, position: int, entry: object, reader: JsonReader) -> None:
        """Takes the entry that a reader has just read."""
        if not has_id(entry):
            self._without_id.add(position)
            return
        if reader.doubled is not None:
            self._doubled.add(f"{entry['id']} ({reader.doubled!r})")
        if self._keys is None:
            self.entries.append({sys.intern(key): value for key, value in entry.items()})
        else:
            self.entries.append({key: entry[key] for key in self._keys if key in entry})

    def problems(self, key: str, file: Path) -> list[Problem]:
        """What is wrong with the entries of the list with this key."""
        title = f"{file}: '{key}' has entries without a whole-number id, at positions"
        doubled = f"{file}: a key is given twice in entries of '{key}' with ids"
        return [
            *self._without_id.problems("no_id", title),
            *self._doubled.problems("doubled_key", doubled),
        ]


@dataclass
class Sections:
    """What a file holds.

    Attributes:
        lists: Images and categories, by key.
        annotations: The annotations.
        extras: What else it has, where it is kept.
    """

    lists: dict[str, ListedEntries]
    annotations: AnnotationEntries
    extras: Record = field(default_factory=dict)


def read_sections(file: Path, *, whole: bool) -> Sections:
    """Reads the file, whose lists may come in any order.

    Args:
        file: instances_*.json.
        whole: Whether all fields are kept, and what is beside the lists.

    Raises:
        UserError: It cannot be read, is no JSON, or lacks one of the lists.
    """
    try:
        with file.open("rb") as stream:
            reader = JsonReader(stream)
            try:
                return _read(reader, whole)
            except RecursionError as error:
                raise UserError(f"cannot be read as JSON ({error}, {reader.place()})") from error
    except UserError as error:
        raise UserError(f"{file}: {error}") from error
    except (ValueError, OSError) as error:
        raise UserError(f"{file}: cannot be read as JSON ({error})") from error


def _read(reader: JsonReader, whole: bool) -> Sections:
    if reader.peek() != "{":
        reader.value()
        raise UserError("not a COCO instances file (the JSON is no object)")
    images = ListedEntries(None if whole else _OF_IMAGES)
    annotations = AnnotationEntries(whole=whole)
    found = Sections({"images": images, "categories": ListedEntries(None)}, annotations)
    counts: dict[str, int] = {}
    for key in reader.members():
        if key in counts:
            raise UserError(f"the key '{quote(key)}' is given twice")
        if key not in SECTIONS:
            counts[key] = 0
            extra = _extra(reader, whole)
            found.extras |= {key: extra} if whole else {}
            continue
        if reader.peek() != "[":
            raise UserError(f"{key!r} is no list")
        listed = annotations if key == "annotations" else found.lists[key]
        counts[key] = _take_all(reader, key, listed)
    reader.finish()
    _check_all_there(counts)
    return found


def _take_all(reader: JsonReader, key: str, listed: ListedEntries | AnnotationEntries) -> int:
    count = 0
    for entry in reader.entries():
        if count == MAX_ENTRIES[key]:
            raise UserError(f"more than {MAX_ENTRIES[key]:,} entries in {key!r}; split the file")
        listed.take(count, entry, reader)
        count += 1
    return count


def _extra(reader: JsonReader, whole: bool) -> Any:
    """A value beside the three lists; a list may be long, and is forgotten if it is not kept."""
    if reader.peek() != "[":
        return reader.value()
    if whole:
        return list(reader.entries())
    for _ in reader.entries():
        pass
    return None


def _check_all_there(counts: dict[str, int]) -> None:
    for key in SECTIONS:
        if key not in counts:
            raise UserError(
                f"not a COCO instances file (no key '{key}'; it needs images, annotations and "
                "categories)"
            )
        if not counts[key]:
            raise UserError(f"empty annotation file ('{key}' has no entries)")
