"""Annotations as columns of numbers: a dict of Python objects takes ten times the space."""

import json
import math
from array import array
from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple, overload

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from mnv2_dense.formats.numbers import parse_whole

Record = dict[str, Any]
"""An image or annotation, with the keys that COCO gives it."""

_ABSENT = -1


class Columns(NamedTuple):
    """What a detector needs of annotations.

    Attributes:
        image_ids: int64 [N].
        category_ids: int64 [N].
        boxes: float64 [N, 4], x, y, width, height in pixels, as they are given.
        crowds: bool [N].
    """

    image_ids: NDArray[np.int64]
    category_ids: NDArray[np.int64]
    boxes: NDArray[np.float64]
    crowds: NDArray[np.bool_]


class StoredAnnotations(Sequence[Record]):
    """COCO's annotations in columns; each becomes a record when it is asked for.

    A record has all that the file says where its texts are kept, else its ids, box, area, and
    whether it is a crowd or difficult, as far as they are given: 67 bytes per annotation.

    Args:
        ids: int64 [N, 3]: id, image_id, category_id.
        numbers: float64 [N, 5]: x, y, width, height, area (NaN where it is not given).
        marks: int8 [N, 2]: iscrowd and difficult, 0 or 1, or -1 where they are not given.
        texts: The JSON of annotations, and where the text of each begins and ends, [N, 2]; None
            where it is not kept.
    """

    def __init__(
        self,
        ids: NDArray[np.int64],
        numbers: NDArray[np.float64],
        marks: NDArray[np.int8],
        texts: tuple[bytearray, NDArray[np.int64]] | None,
    ) -> None:
        self.ids = ids
        self._numbers = numbers
        self._marks = marks
        self._texts = texts

    def columns(self) -> Columns:
        """Views of the columns, not to be written to."""
        crowds = self._marks[:, 0] > 0
        return Columns(self.ids[:, 1], self.ids[:, 2], self._numbers[:, :4], crowds)

    def choose(self, chosen: NDArray[np.bool_]) -> "StoredAnnotations":
        """Those at the marked positions alone."""
        if chosen.all():
            return self
        texts = self._texts and (self._texts[0], self._texts[1][chosen])
        return StoredAnnotations(
            self.ids[chosen], self._numbers[chosen], self._marks[chosen], texts
        )

    @override
    def __len__(self) -> int:
        return len(self.ids)

    @overload
    def __getitem__(self, index: int) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> list[Record]: ...
    @override
    def __getitem__(self, index: int | slice) -> Record | list[Record]:
        if isinstance(index, slice):
            return [self[position] for position in range(*index.indices(len(self)))]
        if self._texts is not None:
            text, places = self._texts
            start, stop = places[index].tolist()
            source = text[start:stop].decode("utf-8", "surrogatepass")
            return json.loads(source, parse_int=parse_whole)
        *box, area = self._numbers[index].tolist()
        return _record(self.ids[index].tolist(), box, area, self._marks[index].tolist())

    @override
    def __iter__(self) -> Iterator[Record]:
        return (self[position] for position in range(len(self)))


def columns_of(annotations: Sequence[Record]) -> Columns:
    """The columns of annotations of any format."""
    if isinstance(annotations, StoredAnnotations):
        return annotations.columns()
    ids = [(entry["image_id"], entry["category_id"]) for entry in annotations]
    image_ids, category_ids = np.array(ids, dtype=np.int64).reshape(-1, 2).T
    boxes = np.array([entry["bbox"] for entry in annotations], dtype=np.float64).reshape(-1, 4)
    crowds = np.array([bool(entry.get("iscrowd")) for entry in annotations], dtype=np.bool_)
    return Columns(image_ids, category_ids, boxes, crowds)


def choose_annotations(
    annotations: Sequence[Record], key: str, values: Collection[int]
) -> Sequence[Record]:
    """Those whose `image_id` or `category_id` is one of some values."""
    if isinstance(annotations, StoredAnnotations):
        column = annotations.ids[:, ("id", "image_id", "category_id").index(key)]
        return annotations.choose(np.isin(column, np.fromiter(values, np.int64, len(values))))
    return [entry for entry in annotations if entry[key] in values]


def _record(ids: list[int], box: list[float], area: float, marks: list[int]) -> Record:
    record: Record = {"id": ids[0], "image_id": ids[1], "category_id": ids[2], "bbox": box}
    given = {"iscrowd": marks[0], "difficult": marks[1]}
    record |= {key: mark for key, mark in given.items() if mark != _ABSENT}
    return record if area != area else {**record, "area": area}


class AnnotationStore:
    """Takes sound annotations one after the other.

    Args:
        whole: Whether their texts are kept.
    """

    def __init__(self, *, whole: bool) -> None:
        self._ids = array("q")
        self._numbers = array("d")
        self._marks = array("b")
        self._text = bytearray() if whole else None
        self._ends = array("q", [0])

    def add(self, ids: Sequence[int], entry: Record, text: str) -> None:
        """Takes one.

        Args:
            ids: Its id, image_id and category_id.
            entry: Whose box, area and marks are sound.
            text: Its JSON.
        """
        given = entry.get
        self._ids.extend(ids)
        self._numbers.extend((*entry["bbox"], given("area", math.nan)))
        self._marks.append(int(given("iscrowd", _ABSENT)))
        self._marks.append(int(given("difficult", _ABSENT)))
        if self._text is not None:
            self._text += text.encode("utf-8", "surrogatepass")
            self._ends.append(len(self._text))

    def annotations(self) -> StoredAnnotations:
        """All that were taken; none may follow."""
        texts = None
        if self._text is not None:
            ends = np.frombuffer(self._ends, dtype=np.int64)
            texts = self._text, np.column_stack((ends[:-1], ends[1:]))
        return StoredAnnotations(
            np.frombuffer(self._ids, dtype=np.int64).reshape(-1, 3),
            np.frombuffer(self._numbers, dtype=np.float64).reshape(-1, 5),
            np.frombuffer(self._marks, dtype=np.int8).reshape(-1, 2),
            texts,
        )
