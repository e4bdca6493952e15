"""New folders and files that are there as a whole, or not at all."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mnv2_dense.cli import DISK_FULL
from mnv2_dense.commands.outputs import check_output
from mnv2_dense.commands.stopping import ended_by_sigterm
from mnv2_dense.errors import UserError


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
    try:
        with ended_by_sigterm():
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


@contextmanager
def parts_beside(path: Path) -> Iterator[Path]:
    """A place for a file until it is complete, in a hidden folder beside its own.

    Folders that are made for it are removed again if the block fails.

    Args:
        path: Where the file will go; the block moves it there.
    """
    folder = path.parent
    made = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(dir=folder, prefix=f".{path.name}-") as parts:
            yield Path(parts) / path.name
    except BaseException:
        for each in made:
            with suppress(OSError):  # Something else is in it by now.
                each.rmdir()
        raise


def _check_free(out: Path) -> Path:
    """Where the folder really is."""
    place = out.resolve()
    if place.exists() and not (place.is_dir() and not any(place.iterdir())):
        raise UserError(f"--out {out} is there already; give a new folder, nothing is overwritten")
    if place == Path.cwd() or place.is_mount():
        raise UserError(f"--out {out}: a folder that cannot be replaced; give a new one in it")
    check_output(place.parent)
    return place


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
