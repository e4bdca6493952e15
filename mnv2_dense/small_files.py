"""Files of strangers that are small: what they claim to be is not taken for granted."""

import errno
import os
import stat
from pathlib import Path


def read_start(path: Path, count: int) -> bytes:
    """The first bytes of a file, at most `count`.

    Raises:
        OSError: It cannot be read, or is a folder, pipe or device: a pipe without a writer would
            never begin, and a device may never end. `strerror` says why.
    """
    try:
        mode = path.stat().st_mode
    except ValueError as error:  # NUL, or half a surrogate pair.
        raise OSError(errno.EINVAL, "no name of a file", str(path)) from error
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "a folder, pipe or device, not a file", str(path))
    with path.open("rb") as file:
        return file.read(count)


def is_file(path: Path) -> bool:
    """Whether there is a file, not a folder, pipe or device; no name is too long to be asked."""
    return os.path.isfile(path)  # noqa: PTH113 - pathlib's raises where a name is too long


def is_folder(path: Path) -> bool:
    """Whether there is a folder; no name is too long to be asked."""
    return os.path.isdir(path)  # noqa: PTH112 - as above
