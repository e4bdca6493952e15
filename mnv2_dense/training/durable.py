"""Files that are whole or not there, whenever the process or the machine stops."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO


def replace_durably(
    path: Path, write: Callable[[BinaryIO], Any], before: Callable[[], None] = lambda: None
) -> None:
    """Writes a file beside its place, flushes it to the disk, and renames it into place.

    Args:
        path: Where it goes; what stands there stays until the new file is complete.
        write: Writes the content into an open file, which it may also read.
        before: Done when the new file is complete, before it takes its place.

    Raises:
        OSError: The disk is full or not writable; it names `path`, which is as it was.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("w+b") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        before()
        part.replace(path)
        sync_folder(path.parent)
    except BaseException as error:
        part.unlink(missing_ok=True)
        # On a full disk torch may raise an error of its own while it closes its archive.
        cause = error if isinstance(error, OSError) else error.__context__
        if isinstance(cause, OSError):
            raise OSError(cause.errno, cause.strerror, str(path)) from error
        raise


def sync_folder(folder: Path) -> None:
    """Makes renames in a folder durable, where the system can open a folder."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
