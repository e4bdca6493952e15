"""How long a run took, by the times that its event files have."""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

_HEAD, _TAIL = 12, 4
"""Bytes around a record: its length with a checksum before it, a checksum behind it."""
_TIME = b"\x09"
"""How an event begins: its first field, eight bytes, is the time."""
_LONGEST = 1 << 24
"""Bytes of a record; a longer one is damage."""


class Session(NamedTuple):
    """One start of a run.

    Attributes:
        began: Seconds since 1970, of the first event.
        ended: Of the last event that reached the disk.
    """

    began: float
    ended: float


def read_sessions(folder: Path) -> list[Session]:
    """The sessions of a run, one per event file that TensorBoard's writer left, in their order.

    A run that was killed has a shorter file. Nothing but the times is read.
    """
    found = []
    for path in sorted(folder.glob("events.out.tfevents.*")):
        try:
            with path.open("rb") as file:
                times = list(_times(file))
        except OSError:
            continue
        if len(times) > 1:
            found.append(Session(min(times), max(times)))
    return sorted(found)


def _times(file: BinaryIO) -> Iterator[float]:
    while len(head := file.read(_HEAD)) == _HEAD:
        (length,) = struct.unpack_from("<Q", head)
        if length > _LONGEST:
            return
        record = file.read(length)
        if len(record) < length or len(file.read(_TAIL)) < _TAIL:
            return
        if record[:1] == _TIME and length >= 9:
            yield struct.unpack_from("<d", record, 1)[0]
