"""Names of the files of a cache: unique, on any file system, and in any list."""

import re
import unicodedata
from collections.abc import Iterable
from itertools import chain, count

MAX_BYTES = 180
"""Of a folder's or file's name; systems take 255."""


def name_pictures(names: Iterable[str], taken: set[str]) -> list[str]:
    """A name per picture, folders kept, without extension; no two are equal but for case.

    Args:
        names: Theirs in the data set, without extensions, with / between folders.
        taken: Names that are given already; the new ones are added, in lower case.
    """
    following: dict[str, Iterable[int]] = {}
    found = []
    for name in names:
        clean = "/".join(map(_clean, name.split("/")))
        numbers = following.setdefault(clean.casefold(), count(2))
        tries = chain([clean], (f"{clean}-{number}" for number in numbers))
        free = next(each for each in tries if each.casefold() not in taken)
        taken.add(free.casefold())
        found.append(free)
    return found


def _clean(part: str) -> str:
    """A part of a path in letters, digits, `_` and `-` alone, so never hidden nor `..`.

    Letters are composed (Unicode's NFC): Apple's file systems take both spellings for one name.
    """
    kept = re.sub(r"[^\w-]", "_", unicodedata.normalize("NFC", part))
    return kept.encode(errors="replace")[:MAX_BYTES].decode(errors="ignore") or "_"
