"""What all layouts of data sets are found by."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mnv2_dense.formats.picture_files import is_picture
from mnv2_dense.image_files import list_files

SPLITS = {"train": ("train", "training"), "val": ("val", "valid", "validation")}
"""What folders and files of the two splits are called."""


class Section(NamedTuple):
    """Keys of a data section.

    Attributes:
        format: The format.
        keys: The others that are needed, but for `root`.
        has_val: Whether there are validation pictures.
    """

    format: str
    keys: dict[str, Any]
    has_val: bool


def subfolders(folder: Path) -> list[str]:
    """Names of the folders directly in a folder, sorted, without hidden ones."""
    return sorted(
        path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")
    )


def named_folders(folder: Path, names: Sequence[str]) -> list[str]:
    """Those folders directly in a folder that have a name in any case, in the names' order."""
    present = subfolders(folder) if folder.is_dir() else []
    return [each for name in names for each in present if each.lower() == name]


def split_folders(folder: Path) -> dict[str, str]:
    """The folders of `train` and `val` in a folder."""
    present = subfolders(folder) if folder.is_dir() else []
    named = {name.lower(): name for name in present}
    return {
        split: next(named[name] for name in names if name in named)
        for split, names in SPLITS.items()
        if any(name in named for name in names)
    }


def split_of(name: str) -> str | None:
    """The split that a path's words tell of, the last first; None if none does."""
    for word in reversed(re.findall(r"[a-z]+", name.lower())):
        for split, names in SPLITS.items():
            if word in names:
                return split
    return None


def pictures_in(folder: Path) -> list[str]:
    """The pictures directly in a folder, sorted."""
    return sorted(filter(is_picture, list_files(folder)))


def join(*parts: str) -> str:
    """A path of the parts that are not empty; `.` if none is left."""
    return "/".join(filter(None, parts)) or "."
