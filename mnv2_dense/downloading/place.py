"""Unpacked files in their place, beside whatever the user has there."""

import filecmp
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from mnv2_dense.errors import UserError
from mnv2_dense.ops.texts import list_first


def place(staging: Path, target: Path) -> list[Path]:
    """Moves every file below `staging` to the same place below `target`.

    A file that is there already with the same bytes stays.

    Returns:
        All files, relative to `target`, sorted.

    Raises:
        UserError: A file is there with other bytes, or something that is no folder is in a
            folder's place. Nothing has been moved then.
    """
    names = sorted(path.relative_to(staging) for path in staging.rglob("*") if path.is_file())
    _check_folders({target / parent for name in names for parent in name.parents})
    present = {name for name in names if os.path.lexists(target / name)}
    different = [name for name in sorted(present) if not _same(staging / name, target / name)]
    if different:
        raise UserError(
            f"{target}: files are there already and differ from those to be unpacked, so nothing "
            f"was changed: {list_first(different)}; move them away, or choose another --root"
        )
    for name in names:
        if name not in present:
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.move(staging / name, target / name)
    return names


def write_record(record: Path, md5: str, names: Sequence[Path], target: Path) -> None:
    """Notes which files an archive brought, with their sizes in bytes."""
    lines = [f"{(target / name).stat().st_size} {name.as_posix()}" for name in names]
    new = record.with_name(f"{record.name}.new")
    new.write_text("\n".join([md5, *lines]) + "\n", encoding="utf-8")
    new.replace(record)


def is_complete(record: Path, md5: str, target: Path) -> bool:
    """Whether all files that an archive brought are still there, with their sizes."""
    try:
        first, *lines = record.read_text(encoding="utf-8").splitlines()
        files = [line.split(" ", maxsplit=1) for line in lines]
        return first == md5 and all(
            (target / name).stat().st_size == int(size) for size, name in files
        )
    except (OSError, ValueError):  # also of NUL in a name
        return False


def _check_folders(folders: set[Path]) -> None:
    for folder in sorted(folders):
        if os.path.lexists(folder) and not folder.is_dir():
            raise UserError(f"{folder}: must be a folder, and is none; nothing was changed")


def _same(new: Path, old: Path) -> bool:
    return old.is_file() and filecmp.cmp(new, old, shallow=False)
