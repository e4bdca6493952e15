"""What has come of a file so far, and of which version it is."""

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from mnv2_dense.downloading.version import Version


class Partial:
    """A partial file with a note of its version, and the one before until it is surpassed.

    An answer that starts again may be worse than what is held (a login page, a cut connection), so
    the old bytes are set aside, and come back unless as many new ones have come.

    Attributes:
        path: The partial file.
        size: Bytes of the whole file.
    """

    def __init__(self, path: Path, size: int) -> None:
        self.path = path
        self.size = size
        self._aside = path.with_name(f"{path.name}.old")

    def held(self) -> int:
        """Bytes in the partial file."""
        return _size(self.path)

    def version(self, url: str) -> Version | None:
        """The version of what is held; None where that cannot be continued."""
        known = _version(self.path)
        return known if known and known.url == url and self._worth(self.path) else None

    def begin(self, version: Version) -> None:
        """Starts an empty file, and sets aside what is the most that can be continued so far."""
        if self._worth(self.path) > self._worth(self._aside):
            _move(self.path, self._aside)
        self.path.write_bytes(b"")
        _note(self.path).write_text(json.dumps(version))

    def cut(self, size: int) -> None:
        """Drops what came behind the first `size` bytes."""
        os.truncate(self.path, size)

    def keep_better(self) -> None:
        """Ends what `begin` began: of the two files that stays of which less is to be fetched."""
        if self._worth(self._aside) > self._worth(self.path):
            _move(self._aside, self.path)
        _delete(self._aside)

    def forget(self) -> None:
        """Deletes everything."""
        _delete(self.path)
        _delete(self._aside)

    def _worth(self, path: Path) -> int:
        """Bytes that need not be fetched again."""
        held, known = _size(path), _version(path)
        resumable = held < self.size and known is not None and known.validator is not None
        return held if resumable or held == self.size else 0


def _version(path: Path) -> Version | None:
    with suppress(OSError, ValueError, TypeError, RecursionError):
        url, etag, modified = json.loads(_note(path).read_text())[:3]
        known = isinstance(url, str) and all(
            each is None or isinstance(each, str) for each in (etag, modified)
        )
        return Version(url, etag, modified) if known else None
    return None


def _note(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _pair(path: Path) -> Iterator[Path]:
    """Bytes last: without its note, a file is only started again."""
    yield _note(path)
    yield path


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _move(old: Path, new: Path) -> None:
    for source, target in zip(_pair(old), _pair(new), strict=True):
        source.replace(target)


def _delete(path: Path) -> None:
    for each in _pair(path):
        each.unlink(missing_ok=True)
