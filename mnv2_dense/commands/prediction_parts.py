"""What every process of a prediction job notes of its pictures, and the records made of it.

A part is a file of JSON lines that one process alone writes, to which nothing is added later: a
line that was cut off is the last one, and its picture counts as not done.
"""

import json
import os
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, NamedTuple, Self

from mnv2_dense.commands.outputs import Outputs
from mnv2_dense.commands.whole_file import whole_file

SYNC_SECONDS = 5.0
"""Between two flushes of a part to the disk; a killed process loses nothing that it wrote."""
OPEN_PARTS = 64
"""Parts open at once while records are put together."""


class Part:
    """The lines of one process, in a file that is made with the first of them.

    Args:
        folder: Where the parts are.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / f"part-{uuid.uuid4().hex}.jsonl"
        self._file: BinaryIO | None = None
        self._synced = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._file is not None:
            os.fsync(self._file.fileno())
            self._file.close()

    def add(self, line: Mapping[str, Any]) -> None:
        """Writes a line in one piece."""
        if self._file is None:
            self._file = self.path.open("xb", buffering=0)
        data = memoryview(json.dumps(line).encode() + b"\n")
        while data:  # A disk that gets full takes a piece, and refuses the rest.
            data = data[self._file.write(data) :]
        if time.monotonic() - self._synced > SYNC_SECONDS:
            os.fsync(self._file.fileno())
            self._synced = time.monotonic()


class Line(NamedTuple):
    """Where the line of a picture is."""

    part: Path
    offset: int


class State(NamedTuple):
    """How far a job is, by position in its list.

    Attributes:
        done: Pictures that are as they were when they were predicted, and whose results are there.
        failed: Of the others, what was wrong when they were tried.
    """

    done: dict[int, Line]
    failed: dict[int, str]


def done_line(
    position: int, stamp: Sequence[int], files: Sequence[Path], records: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """The line of a picture whose results are written.

    Args:
        position: In the list.
        stamp: Of the picture, taken before it was read.
        files: What was drawn of it.
        records: What it gave.
    """
    sizes = [path.stat().st_size for path in files]
    return {"picture": position, "stamp": stamp, "sizes": sizes, "records": records}


def failed_line(position: int, message: str) -> dict[str, Any]:
    """The line of a picture that has no results."""
    return {"picture": position, "failed": message}


def stamp_of(path: Path) -> list[int]:
    """Size in bytes and time of the last change, in ns, by which a changed picture is known."""
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]


def read_state(outputs: Outputs) -> State:
    """How far a job is, from the parts of all its processes."""
    done: dict[int, Line] = {}
    failed: dict[int, str] = {}
    for part in sorted(outputs.job.glob("part-*.jsonl")):
        for offset, line in _lines(part):
            position = line["picture"]
            if not 0 <= position < len(outputs.list.pictures):
                continue  # Another process has added it since.
            if "failed" in line:
                failed[position] = str(line["failed"])
            elif _holds(line, outputs):
                done[position] = Line(part, offset)
    return State(done, {each: failed[each] for each in failed if each not in done})


def _lines(part: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The whole lines of a part, with their offsets."""
    offset = 0
    with part.open("rb") as file:
        for data in file:
            if (line := _parse(data)) is not None:
                yield offset, line
            offset += len(data)


def _parse(data: bytes) -> dict[str, Any] | None:
    """A line, if it is a whole one."""
    try:
        line = json.loads(data) if data.endswith(b"\n") else None
    except (ValueError, RecursionError):
        return None
    return line if isinstance(line, dict) and isinstance(line.get("picture"), int) else None


def _holds(line: Mapping[str, Any], outputs: Outputs) -> bool:
    """Whether a line still says what is there."""
    picture = outputs.list.pictures[line["picture"]]
    try:
        same = stamp_of(Path(picture.path)) == line.get("stamp")
        sizes = [path.stat().st_size for path in outputs.files(picture.name)]
    except OSError:
        return False
    return same and sizes == line.get("sizes") and isinstance(line.get("records"), list)


def write_records(path: Path, lines: Sequence[Line]) -> int:
    """Writes the records of pictures as one JSON list, with never more in memory than one line.

    Args:
        path: The file, replaced when the new one is complete.
        lines: Of the pictures, in the order of the records.

    Returns:
        How many records there are.
    """
    written = 0
    with whole_file(path) as file:
        file.write("[")
        for records in filter(None, iterate_records(lines)):
            # Without the list's own brackets, so that the pieces make one list.
            text = json.dumps(records, indent=1)[1:-2]
            file.write("," * bool(written) + text)
            written += len(records)
        file.write("\n]\n" if written else "]\n")
    return written


def iterate_records(lines: Sequence[Line]) -> Iterator[list[dict[str, Any]]]:
    """The records of each line in turn."""
    files: dict[Path, BinaryIO] = {}
    try:
        for part, offset in lines:
            if part not in files:
                if len(files) == OPEN_PARTS:
                    files.pop(next(iter(files))).close()
                files[part] = part.open("rb")
            files[part].seek(offset)
            yield json.loads(files[part].readline())["records"]
    finally:
        for file in files.values():
            file.close()
