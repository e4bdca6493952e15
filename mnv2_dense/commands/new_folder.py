"""A new folder that is there as a whole, or not at all."""

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from mnv2_dense.cli import DISK_FULL
from mnv2_dense.commands.outputs import check_output
from mnv2_dense.errors import UserError

_TERMINATED = 128 + signal.SIGTERM


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """A folder beside `out` that takes its name when all is written, and is removed otherwise.

    SIGTERM ends the block as Ctrl-C does; only what cannot be caught (kill -9) leaves the hidden
    folder `.NAME-*` behind.

    Args:
        out: A folder that is not there yet, or empty; of a link, what it leads to.

    Raises:
        UserError: It is neither, or cannot be replaced or written to, or the disk is full.
    """
    place = _check_free(out)
    place.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{place.name}-", dir=place.parent))
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield folder
        folder.chmod(0o777 & ~_umask())
        folder.replace(place)
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, OSError) and error.errno in DISK_FULL:
            raise UserError(
                f"--out {out}: {error.strerror}; what was written is removed again"
            ) from error
        raise
    finally:
        signal.signal(signal.SIGTERM, before)


def _check_free(out: Path) -> Path:
    """Where the folder really is."""
    place = out.resolve()
    if place.exists() and not (place.is_dir() and not any(place.iterdir())):
        raise UserError(f"--out {out} is there already; give a new folder, nothing is overwritten")
    if place == Path.cwd() or place.is_mount():
        raise UserError(f"--out {out}: a folder that cannot be replaced; give a new one in it")
    check_output(place.parent)
    return place


def _terminate(*_: object) -> NoReturn:
    raise SystemExit(_TERMINATED)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
