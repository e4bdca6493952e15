"""Names and sizes of a data set's pictures."""

import re
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from mnv2_dense.errors import UserError
from mnv2_dense.formats.problems import Problem, errors_at
from mnv2_dense.image_files import SUFFIXES, files_below, foreign_links
from mnv2_dense.images import image_size
from mnv2_dense.small_files import read_start
from mnv2_dense.structures import ImageSize

_THREADS = 8
_CHUNK = 64
MAX_LIST = 256 << 20
"""Bytes of a list of pictures."""
MAX_LINES = 4_000_000
"""Lines of a list of pictures: as many as a COCO file may have."""


def list_below(folder: Path) -> list[str]:
    """Files of a folder at every depth, relative to it with / between folders, sorted.

    Hidden files are passed over: macOS puts a `._7.xml` beside every 7.xml.
    """
    return sorted(path.relative_to(folder).as_posix() for path in files_below(folder))


def stem_of(name: str) -> str:
    """A file's name, folders kept, without its extension."""
    parent, separator, last = name.rpartition("/")
    return parent + separator + (last.rpartition(".")[0] or last)


def is_picture(name: str) -> bool:
    """Whether a file's name ends as a picture's."""
    return name.lower().endswith(SUFFIXES)


def read_list(file: Path) -> list[str]:
    """The lines of a list of pictures, without empty ones.

    Raises:
        UserError: It cannot be read, is no file, no UTF-8 text, too long, or empty.
    """
    try:
        data = read_start(file, MAX_LIST + 1)
        if len(data) > MAX_LIST or data.count(b"\n") + data.count(b"\r") > MAX_LINES:
            raise UserError(
                f"{file}: a list of pictures of more than {MAX_LIST >> 20} MB or {MAX_LINES:,} "
                "lines; split it"
            )
        text = data.decode("utf-8-sig")
    except (UnicodeDecodeError, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UserError(
            f"{file}: cannot be read as a list of pictures in UTF-8 text ({reason})"
        ) from error
    lines = [line.strip() for line in re.split(r"[\r\n]", text) if line.strip()]
    if not lines:
        raise UserError(f"{file}: the list of pictures is empty")
    return lines


def link_problems(folder: Path, names: Sequence[str]) -> list[Problem]:
    """Links among the pictures of a folder that lead to something else; see `foreign_links`."""
    title = f"{folder}: symbolic links that lead out of the folder, to no pictures:"
    remedy = ". Replace each by the file (cp -L), or link the whole folder"
    return errors_at("foreign_link", title, foreign_links(folder, names), remedy)


def read_sizes(
    paths: Sequence[Path], *, upright: bool
) -> tuple[list[ImageSize | None], list[Problem]]:
    """Sizes of pictures from their headers, None where one cannot be read, and errors of those."""
    parts = [paths[start : start + _CHUNK] for start in range(0, len(paths), _CHUNK)]
    # The filter is the process's, and every thread saves and restores it: this one is the last.
    with warnings.catch_warnings(), ThreadPoolExecutor(_THREADS) as pool:
        warnings.simplefilter("ignore")
        read = pool.map(partial(_sizes_or_reasons, upright=upright), parts)
        found = [each for part in read for each in part]
    reasons = [each for each in found if isinstance(each, str)]
    problems = errors_at("unreadable_picture", "pictures that cannot be read:", reasons)
    return [None if isinstance(each, str) else each for each in found], problems


def _sizes_or_reasons(paths: Sequence[Path], *, upright: bool) -> list[ImageSize | str]:
    found: list[ImageSize | str] = []
    for path in paths:
        try:
            found.append(image_size(path, upright=upright))
        except UserError as error:
            found.append(str(error))
    return found
