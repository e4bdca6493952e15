"""The one frozen graph in a file, a folder or one of the authors' archives, as bytes."""

import gzip
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path, PurePosixPath
from typing import IO, Any, NamedTuple, cast

from mnv2_dense.errors import UserError
from mnv2_dense.importing.graph import printable

MAX_BYTES = 2**28
"""Largest frozen graph that is read; the largest of the authors' releases has 165 MB."""
MAX_ARCHIVE_BYTES = 2**30
"""Largest archive, unpacked."""
MAX_MEMBERS = 10_000
"""Most files, folders and links in an archive."""
MAX_HEADER = 2**22
"""Most bytes of one header of a tar file, and of the list of files of a zip file."""
_PIECE = 2**20
SHOWN = 8
"""Files listed in an error."""


class _Member(NamedTuple):
    name: str
    size: int
    read: Callable[[], bytes]
    is_file: bool = True


def read_frozen(path: Path) -> bytes:
    """The bytes of the one frozen graph at a path; nothing is unpacked to disk.

    Args:
        path: As for `graphdef.read_graphdef`.

    Raises:
        UserError: There is no frozen graph or more than one, or it cannot be read or is too large.
    """
    if not (path.is_file() or path.is_dir()):
        raise UserError(f"{path}: no such file or folder")
    try:
        return _pick(path, _members(path))
    except UserError:
        raise
    except PermissionError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    except Exception as error:  # damaged archives end anywhere: EOFError, zlib.error, ...
        raise UserError(
            f"{path}: a damaged or truncated archive, or one of more than "
            f"{_megabytes(MAX_ARCHIVE_BYTES)} unpacked; give the .pb file in it"
        ) from error


def _pick(path: Path, members: Iterable[_Member]) -> bytes:
    """The content of the one frozen graph among some files."""
    names: list[str] = []
    frozen: list[str] = []
    content = b""
    for count, member in enumerate(members, start=1):
        if member.is_file:
            names.append(member.name)
        if count > MAX_MEMBERS:
            raise UserError(f"{path}: more than {MAX_MEMBERS} files, give the .pb file in it")
        if not (member.is_file and _is_frozen(member)):
            continue
        frozen.append(member.name)
        _check_size(path, member)
        if len(frozen) == 1:
            content = member.read()
    if len(frozen) == 1:
        return content
    found = f"{len(frozen)} frozen graphs" if frozen else "no frozen_inference_graph.pb"
    raise UserError(
        f"{path}: holds {found}, it holds {_list(frozen or names)}; give the .pb file of one "
        "frozen graph"
    )


def _is_frozen(member: _Member) -> bool:
    """By its name; a file that was given itself has none here."""
    base = PurePosixPath(member.name).name
    return base in ("", "frozen_inference_graph.pb") or base.endswith("_frozen.pb")


def _check_size(path: Path, member: _Member) -> None:
    if member.size > MAX_BYTES:
        raise UserError(
            f"{path}: {_list([member.name])} {_megabytes(member.size)}, more than "
            f"{_megabytes(MAX_BYTES)}: no graph of this kind"
        )


def _list(names: Sequence[str]) -> str:
    """File names for a message."""
    shown = [printable(name)[:100] for name in names[:SHOWN] if name]
    more = len(names) - SHOWN
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "") or "nothing"


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.0f} MB"


def _members(path: Path) -> Iterator[_Member]:
    if path.is_dir():
        for file in sorted([*path.glob("*.pb"), *path.glob("*/*.pb")]):
            name = file.relative_to(path).as_posix()
            yield _Member(name, file.stat().st_size, file.read_bytes, file.is_file())
        return
    with path.open("rb") as file:
        head = file.read(tarfile.BLOCKSIZE)
    if head.startswith(b"PK\x03\x04"):
        yield from _zip_members(path)
    elif (packed := head.startswith(b"\x1f\x8b")) or head[257:262] == b"ustar":
        yield from _tar_members(path, packed)
    else:
        yield _Member("", path.stat().st_size, path.read_bytes)


def _zip_members(path: Path) -> Iterator[_Member]:
    with path.open("rb") as stream, zipfile.ZipFile(cast(IO[bytes], _Pieces(stream))) as archive:
        for info in archive.infolist():

            def read(info: zipfile.ZipInfo = info) -> bytes:
                # Never read(): it unpacks first and then cuts off what the header did not say.
                with archive.open(info) as member:
                    return b"".join(iter(lambda: member.read(_PIECE), b""))

            # Other methods unpack more than they are asked for.
            known = info.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
            yield _Member(info.filename, info.file_size, read, known and not info.is_dir())


class _Pieces:
    """A file of which no piece is read that is larger than a header may be."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.tell, self.seek, self.seekable = stream.tell, stream.seek, stream.seekable

    def read(self, size: int = -1) -> bytes:
        content = self._stream.read(size if 0 <= size <= MAX_HEADER else MAX_HEADER + 1)
        if len(content) > MAX_HEADER:
            raise zipfile.BadZipFile("too large")
        return content


class _Forward:
    """A stream read from start to end and in bounded pieces, as far as tarfile needs one.

    A hostile header can send tarfile backwards for ever, or have it read all there is at once.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def tell(self) -> int:
        return self._stream.tell()

    def seek(self, offset: int) -> int:
        if not self.tell() <= offset <= MAX_ARCHIVE_BYTES:
            raise tarfile.ReadError("a header points outside")
        return self._stream.seek(offset)

    def read(self, size: int, most: int | None = None) -> bytes:
        most = MAX_HEADER if most is None else most
        if not 0 <= size <= min(most, MAX_ARCHIVE_BYTES - self.tell()):
            raise tarfile.ReadError("too large")
        return self._stream.read(size)


def _tar_members(path: Path, packed: bool) -> Iterator[_Member]:
    with ExitStack() as stack:
        stream: Any = stack.enter_context(path.open("rb"))
        if packed:
            stream = stack.enter_context(gzip.GzipFile(fileobj=stream))
        forward: Any = _Forward(stream)
        # The header of a member is read when the one before it was: in the stream's order.
        for info in stack.enter_context(tarfile.open(fileobj=forward, mode="r:")):

            def read(info: tarfile.TarInfo = info) -> bytes:
                forward.seek(info.offset_data)
                return forward.read(info.size, MAX_BYTES)

            yield _Member(info.name, info.size, read, info.isfile() and not info.issparse())
