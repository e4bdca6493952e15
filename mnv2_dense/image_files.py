"""Which files of a folder are pictures, and which names stay in their folder."""

import os
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from mnv2_dense.errors import UserError
from mnv2_dense.small_files import is_file

SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".mpo", ".png", ".gif", ".webp"),
    *(".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm"),
)
"""File names, in lower case, that `find_images` takes for pictures."""


def find_images(source: Path) -> list[Path]:
    """Paths of the pictures that `source` stands for, sorted.

    Args:
        source: A file, which is returned as it is, or a folder, which is searched at every depth
            for picture suffixes (hidden files are passed over).

    Raises:
        UserError: `source` does not exist, or is a folder without pictures.
    """
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise UserError(f"{source}: no such file or folder")
    images = sorted(path for path in files_below(source) if path.suffix.lower() in SUFFIXES)
    if not images:
        raise UserError(f"{source}: no pictures in this folder (looked for {' '.join(SUFFIXES)})")
    return images


def files_below(folder: Path) -> Iterator[Path]:
    """Files of a folder at every depth, without hidden ones.

    Links to folders are not followed. What cannot be listed, or vanishes meanwhile, is passed
    over. Not `os.walk`: it calls itself, and a stranger's folders may be two thousand deep.
    """
    waiting = [str(folder)]
    while waiting:
        with suppress(OSError), os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                elif not entry.name.startswith(".") and is_file(Path(entry.path)):
                    yield Path(entry.path)


def list_files(folder: Path) -> set[str]:
    """Names of the files that lie directly in a folder; none if there is no such folder.

    Raises:
        UserError: The folder cannot be listed.
    """
    return _list_names(folder, os.DirEntry.is_file)


def _list_names(folder: Path, wanted: Callable[["os.DirEntry[str]"], bool]) -> set[str]:
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries if wanted(entry)}
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: NUL in the name.
        return set()
    except OSError as error:
        raise UserError(f"{folder}: the folder cannot be listed ({error})") from error


def missing_files(folder: Path, names: Sequence[str]) -> list[str]:
    """Those of the names below `folder`, with / between folders, that are no file there.

    One listing per folder, not one look-up per file.

    Raises:
        UserError: A folder cannot be listed.
    """
    parts = [name.rpartition("/") for name in names]
    present = {parent: list_files(folder / parent) for parent in {part[0] for part in parts}}
    return ["".join(part) for part in parts if part[2] not in present[part[0]]]


def foreign_links(folder: Path, names: Collection[str]) -> list[str]:
    """Those of the files below `folder` that are links to something else than pictures elsewhere.

    Links to pictures are followed, any other link of a file is to be refused. A folder, or any
    folder above a picture, may be a link: data often lie on another disk. A single file may be a
    link inside the folder, and to a file elsewhere that is named as a picture
    (`convert_data --link` and git-annex make such links). Any other link of a single file
    was not made for pictures: an archive from a stranger may name a private file. (It may name a
    private photo, too: `download_data` unpacks no links.)

    One listing per folder; only links are looked up.

    Args:
        folder: The pictures'.
        names: Below it, with / between folders.

    Raises:
        UserError: A folder cannot be listed.
    """
    links: dict[str, set[str]] = {}
    found: list[str] = []
    for name in names:
        parent, _, last = name.rpartition("/")
        if parent not in links:
            links[parent] = _list_names(folder / parent, os.DirEntry.is_symlink)
        if last in links[parent]:
            target = Path(os.path.realpath(folder / name))
            places = folder.resolve(), (folder / parent).resolve()
            inside = any(map(target.is_relative_to, places))
            if not inside and target.suffix.lower() not in SUFFIXES:
                found.append(f"{name} -> {target}")
    return found


def leaves_folder(name: str) -> bool:
    """Whether a file's name from a list is absolute or has '..', on any system, or has a NUL."""
    parts = re.split(r"[/\\]", name)
    drive = re.match(r"[A-Za-z]:", name) is not None
    return "\0" in name or parts[0] == "" or ".." in parts or drive
