"""Files of a prediction that are there as a whole or not at all, also with several writers."""

import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from PIL import Image

from mnv2_dense.training.durable import sync_folder

PART = ".mnv2_dense.part"
"""How the name of a file ends that is not complete yet."""
ABANDONED_SECONDS = 3600.0
"""Since when nobody has written into a file that nobody will complete."""


@contextmanager
def whole_file(path: Path, *, first: bool = False) -> Iterator[TextIO]:
    """A text file that takes its place, flushed to the disk, at the end of the block.

    Args:
        path: Where it goes.
        first: Never in the place of another one, of whichever process.

    Raises:
        FileExistsError: `first`, and there is one; this one is given up.
        OSError: The disk is full or not writable; what stood there is as it was.
    """
    part = part_of(path)
    try:
        with part.open("w", encoding="utf-8") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if first:
            _link(part, path)
        else:
            part.replace(path)
        sync_folder(path.parent)
    finally:
        part.unlink(missing_ok=True)


def save_picture(image: Image.Image, path: Path) -> None:
    """Writes a PNG that takes its place when it is complete."""
    part = part_of(path)
    try:
        image.save(part, "PNG")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def remove_parts(folder: Path) -> None:
    """Removes what killed processes left unfinished in a folder; others may still be at work."""
    with os.scandir(folder) as entries:
        parts = [Path(entry.path) for entry in entries if entry.name.endswith(PART)]
    for path in filter(_is_abandoned, parts):
        path.unlink(missing_ok=True)


def _is_abandoned(path: Path) -> bool:
    try:
        return path.stat().st_mtime < time.time() - ABANDONED_SECONDS
    except FileNotFoundError:  # It has just taken its place.
        return False


def part_of(path: Path) -> Path:
    """A name of this writer alone, and short: the file's own may be as long as allowed."""
    return path.with_name(f".{uuid.uuid4().hex}{PART}")


def _link(part: Path, path: Path) -> None:
    try:
        os.link(part, path)
    except FileExistsError:
        raise
    except OSError:  # The disk has no links (exFAT): a race of two first writers is not seen.
        if path.exists():
            raise FileExistsError(path) from None
        part.replace(path)
