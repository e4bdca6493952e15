"""The pictures of a prediction job: each keeps its image id and the name of its results."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from mnv2_dense.commands.whole_file import whole_file
from mnv2_dense.errors import UserError


class Listed(NamedTuple):
    """A picture of a job.

    Attributes:
        path: Absolute; what it is known by.
        number: Its image id.
        name: Of the files that show what is seen in it, without their suffix.
    """

    path: str
    number: int
    name: str


class PictureList:
    """All pictures that a job ever had, in files that are only ever added.

    Several processes and machines may add at once: each file `pictures-N.jsonl` is written once,
    whole, by whoever is first, and the others read it.

    Args:
        folder: Where the files are.

    Raises:
        UserError: A file is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pictures: list[Listed] = []
        self.positions: dict[str, int] = {}
        """Of a path in `pictures`."""
        self.names: set[str] = set()
        self._files = 0
        self.read()

    def read(self) -> None:
        """Takes in the files that were added since."""
        while (path := self._file(self._files + 1)).is_file():
            for picture in _read(path):
                self.positions[picture.path] = len(self.pictures)
                self.names.add(picture.name)
                self.pictures.append(picture)
            self._files += 1

    def add(self, pictures: Sequence[Listed]) -> None:
        """Writes pictures that are not listed yet.

        Raises:
            FileExistsError: Another process added some before; `read` takes them in.
        """
        with whole_file(self._file(self._files + 1), first=True) as file:
            file.writelines(json.dumps(picture) + "\n" for picture in pictures)
        self.read()

    def number(self, paths: Sequence[str]) -> list[int]:
        """Image ids for pictures that are not listed yet."""
        before = [picture.number for picture in self.pictures]
        whole = number_pictures([*(picture.path for picture in self.pictures), *paths])
        if whole[: len(before)] == before:
            return whole[len(before) :]
        first = max(before) + 1
        return list(range(first, first + len(paths)))

    def _file(self, number: int) -> Path:
        return self.folder / f"pictures-{number}.jsonl"


def _read(path: Path) -> list[Listed]:
    try:
        with path.open(encoding="utf-8") as file:
            rows = [json.loads(line) for line in file]
        return [Listed(str(picture), int(number), str(name)) for picture, number, name in rows]
    except (ValueError, TypeError) as error:
        raise UserError(
            f"{path}: damaged, so that this prediction cannot go on; give another --out"
        ) from error


def number_pictures(paths: Sequence[str]) -> list[int]:
    """Image ids for COCO results: the files' own numbers (as COCO names them), or 1, 2, 3..."""
    stems = [Path(path).stem for path in paths]
    if all(stem.isdecimal() for stem in stems):
        numbers = [int(stem) for stem in stems]
        if len(set(numbers)) == len(numbers):
            return numbers
    return list(range(1, len(paths) + 1))


def free_names(stems: Sequence[str], taken: set[str]) -> list[str]:
    """A name per stem: itself, or the first of `stem-2`, `stem-3` and so on that is free."""
    taken = set(taken)
    last: dict[str, int] = {}  # Where the search ended: 10^6 folders may have an `image.jpg`.
    names = []
    for stem in stems:
        number = last.get(stem, 1)
        while (name := stem if number == 1 else f"{stem}-{number}") in taken:
            number += 1
        last[stem] = number
        taken.add(name)
        names.append(name)
    return names
