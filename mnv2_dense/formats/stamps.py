"""Whether files are still as they were when they were read."""

from pathlib import Path

Stamp = tuple[int, ...]


def stamp_of(path: Path) -> Stamp:
    """A file's or folder's state; empty where it cannot be had. Equal ones mean: not changed.

    A change within the tick of the disk's clock (some milliseconds) that keeps the size is missed.
    """
    try:
        state = path.stat()
    except (OSError, ValueError):  # ValueError: NUL in the name.
        return ()
    return state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns
