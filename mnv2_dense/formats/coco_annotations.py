"""Which annotations of a COCO file can be used."""

import reprlib
from array import array
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mnv2_dense.formats.coco_records import ANNOTATION_RULES, has_id, is_sound, is_whole
from mnv2_dense.formats.coco_stream import JsonReader
from mnv2_dense.formats.problems import KEPT, Places, Problem, errors_at
from mnv2_dense.formats.records import AnnotationStore, Record, StoredAnnotations

_REFERENCES = (("image_id", "images"), ("category_id", "categories"))
_NOTHING: Record = {"bbox": [0.0] * 4}
_ODD_REFERENCE = (16, 32)
"""Faults behind those of `ANNOTATION_RULES`, which have 1, 2, 4 and 8."""
_DOUBLED = 64
_UNUSABLE = _DOUBLED | (1 << len(ANNOTATION_RULES)) - 1


class AnnotationEntries:
    """The annotations of a file, sound ones and others.

    Args:
        whole: Whether all their fields are kept.
    """

    def __init__(self, *, whole: bool) -> None:
        self.faults = array("B")
        self.doubled_keys: dict[int, str] = {}
        self.odd: tuple[dict[int, str], ...] = ({}, {})
        """The first image_id and category_id that are no numbers, by position, as shown."""
        self.without_id = Places()
        self.store = AnnotationStore(whole=whole)

    def take(self, position: int, entry: object, reader: JsonReader) -> None:
        """Takes the entry that a reader has just read."""
        if not has_id(entry):
            self.without_id.add(position)
            return
        given = entry["id"], entry.get("image_id"), entry.get("category_id")
        faults = 0
        if not (all(map(is_whole, given)) and is_sound(entry) and reader.doubled is None):
            faults = self._faults(entry, reader)
        self.faults.append(faults)
        ids = [each if is_whole(each) else 0 for each in given]
        self.store.add(ids, _NOTHING if faults & _UNUSABLE else entry, reader.source)

    def _faults(self, entry: Record, reader: JsonReader) -> int:
        faults = 0
        for place, (_, _, sound) in enumerate(ANNOTATION_RULES):
            faults |= 0 if sound(entry) else 1 << place
        if reader.doubled is not None:
            faults |= _DOUBLED
            _remember(self.doubled_keys, len(self.faults), reader.doubled)
        for place, (key, _) in enumerate(_REFERENCES):
            if not is_whole(number := entry.get(key)):
                faults |= _ODD_REFERENCE[place]
                _remember(self.odd[place], len(self.faults), number)
        return faults


def _remember(shown: dict[int, str], position: int, value: object) -> None:
    if len(shown) < KEPT:
        shown[position] = reprlib.repr(value)


def sound_annotations(
    found: AnnotationEntries,
    listed: Mapping[str, Sequence[Record]],
    usable: Mapping[str, Sequence[Record]],
    file: Path,
    problems: list[Problem],
) -> StoredAnnotations:
    """Those that can be used.

    Args:
        found: All.
        listed: Images and categories that the file lists: one that it does not list is a mistake.
        usable: Those of them that can be used.
        file: For messages.
        problems: What is wrong with the others is added.
    """
    stored = found.store.annotations()
    ids = stored.ids[:, 0]
    faults = np.frombuffer(found.faults, dtype=np.uint8)
    title = f"{file}: 'annotations' has entries without a whole-number id, at positions"
    problems += found.without_id.problems("no_id", title)
    kept = _first_of_each(ids)
    problems += errors_at("duplicate_id", f"{file}: duplicate ids in 'annotations':", ids[~kept])
    places = _shown(ids, kept & (faults & _DOUBLED > 0), "key", found.doubled_keys)
    title = f"{file}: a key is given twice in entries of 'annotations' with ids"
    problems += errors_at("doubled_key", title, places)
    for place, (kind, title, _) in enumerate(ANNOTATION_RULES):
        bad = ids[kept & (faults & 1 << place > 0)]
        problems += errors_at(kind, f"{file}: {title} for annotation ids", bad)
    kept &= faults & _UNUSABLE == 0
    for place, (key, section) in enumerate(_REFERENCES):
        column = stored.ids[:, place + 1]
        whole = faults & _ODD_REFERENCE[place] == 0
        lost = kept & ~(whole & _is_one_of(column, listed[section]))
        shown = found.odd[place]
        title = f"{file}: {key} is missing from the file for annotation ids"
        places = _shown(ids, lost, key, shown, column)
        problems += errors_at(f"unknown_{key}", title, places)
        kept &= whole & _is_one_of(column, usable[section])
    return stored.choose(kept)


def _first_of_each(ids: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Marks the first of equal numbers."""
    order = np.argsort(ids, kind="stable")
    first = np.ones(len(ids), dtype=np.bool_)
    first[order[1:][ids[order[1:]] == ids[order[:-1]]]] = False
    return first


def _is_one_of(column: NDArray[np.int64], entries: Sequence[Record]) -> NDArray[np.bool_]:
    return np.isin(column, np.array([entry["id"] for entry in entries], dtype=np.int64))


def _shown(
    ids: NDArray[np.int64],
    chosen: NDArray[np.bool_],
    key: str,
    shown: Mapping[int, str],
    column: NDArray[np.int64] | None = None,
) -> Iterator[str]:
    """`7 (image_id 'x')` for each chosen annotation."""
    for position in np.flatnonzero(chosen).tolist():
        value = shown.get(position, "" if column is None else column[position])
        yield f"{ids[position]} ({key} {value})"
