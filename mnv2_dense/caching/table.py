"""The pictures of a cache that are done: a JSON line for each, behind one of its settings."""

import json
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from mnv2_dense.caching.manifest import TABLE, Settings
from mnv2_dense.errors import UserError
from mnv2_dense.image_files import leaves_folder
from mnv2_dense.structures import ImageSize
from mnv2_dense.training.durable import replace_durably


class Stamp(NamedTuple):
    """The state of a file that a picture was made from.

    Attributes:
        name: Its path below the data set's folder; of a file elsewhere the whole path.
        size: Bytes.
        time: When it was written, in nanoseconds.
    """

    name: str
    size: int
    time: int


class Entry(NamedTuple):
    """A picture of a cache.

    Attributes:
        place: Its path below the cache's folder, without the extension.
        sources: State of the files that it was made from, the picture first.
        size: Of the original.
        cached: Of the copy.
        files: By path below the cache's folder, bytes of what was written; the picture first.
    """

    place: str
    sources: tuple[Stamp, ...]
    size: ImageSize
    cached: ImageSize
    files: Mapping[str, int]

    @property
    def picture(self) -> str:
        """Its file."""
        return next(iter(self.files))

    @property
    def resized(self) -> bool:
        """Whether the copy is smaller."""
        return self.cached != self.size

    def is_whole(self, root: Path) -> bool:
        """Whether its files are there, as large as they were written."""
        return all(_state_of(root / name)[0] == size for name, size in self.files.items())

    def line(self) -> str:
        """The entry as a line of the table."""
        return json.dumps(self._asdict()) + "\n"


def stamp_of(path: Path, root: Path) -> Stamp:
    """The state of a file; -1 for size and time where they cannot be had.

    Args:
        path: The file.
        root: The data set's folder.
    """
    name = path.relative_to(root) if path.is_relative_to(root) else path
    return Stamp(name.as_posix(), *_state_of(path))


def _state_of(path: Path) -> tuple[int, int]:
    try:
        state = path.stat()
    except (OSError, ValueError):  # ValueError: NUL in the name.
        return -1, -1
    return state.st_size, state.st_mtime_ns


class Table:
    """The table of a cache that is being prepared; threads may add to it.

    Args:
        root: The cache's folder, which is there.
        settings: What the cache is prepared from, and how.

    Raises:
        UserError: The folder holds other things, or the cache of another source or settings.
    """

    def __init__(self, root: Path, settings: Settings) -> None:
        self.path = root / TABLE
        self._header = json.dumps(settings) + "\n"
        self._lock = threading.Lock()
        self.done: dict[str, Entry] = {}
        if self.path.exists():
            self._take_up(settings)
        else:
            _check_empty(root)
            replace_durably(self.path, lambda file: file.write(self._header.encode()))

    def _take_up(self, settings: Settings) -> None:
        found, entries = read_table(self.path)
        if entries and found != json.loads(self._header):
            raise UserError(
                f"--out {self.path.parent}: holds a cache of other "
                f"{' and '.join(_differences(found, settings))}; give a new folder, or remove it"
            )
        self.done = {entry.place: entry for entry in entries}
        self.write(entries)  # Without a last line that a lost machine left torn.

    def add(self, entry: Entry) -> None:
        """Notes a picture whose files are in their places."""
        with self._lock, self.path.open("a", encoding="utf-8") as file:
            file.write(entry.line())

    def write(self, entries: Iterable[Entry]) -> None:
        """Replaces the table by one of these entries."""
        lines = [self._header, *(entry.line() for entry in entries)]
        replace_durably(self.path, lambda file: file.write("".join(lines).encode()))


def read_table(path: Path) -> tuple[dict[str, Any], list[Entry]]:
    """Settings and entries of a table; of a place that comes twice the later entry.

    Raises:
        UserError: It is no table of a cache.
    """
    with path.open(encoding="utf-8", errors="replace") as file:
        try:
            settings = json.loads(file.readline())
            found = {entry.place: entry for entry in map(_entry, file) if entry is not None}
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise UserError(f"{path}: damaged ({error}); prepare the cache anew") from error
    return settings, list(found.values())


def _entry(line: str) -> Entry | None:
    """The entry of a line; None for one that was not written to its end."""
    if not line.endswith("\n"):
        return None
    content = json.loads(line)
    if any(map(leaves_folder, content["files"])):
        raise ValueError("names leave the folder")
    return Entry(
        content["place"],
        tuple(Stamp(*each) for each in content["sources"]),
        ImageSize(*content["size"]),
        ImageSize(*content["cached"]),
        dict(content["files"].items()),
    )


def _differences(found: Any, settings: Settings) -> list[str]:
    """The names of settings that differ."""
    if not isinstance(found, dict):
        return ["settings"]
    known = json.loads(json.dumps(settings))
    changed = [key for key in known if found.get(key) != known[key]]
    return [f"{key} ({found.get(key)}, not {known[key]})" for key in changed] or ["settings"]


def _check_empty(root: Path) -> None:
    # A first table that a killed process did not finish.
    begun = f".{TABLE}.part"
    if any(entry.name not in (LOCK, begun) for entry in root.iterdir()):
        raise UserError(f"--out {root}: is there already and holds no cache; give a new folder")


LOCK = ".cache.lock"
"""Held by the process that prepares the cache."""
