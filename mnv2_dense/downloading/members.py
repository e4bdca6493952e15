"""What is in an archive, read in bounded memory and in one direction."""

import functools
import gzip
import lzma
import stat
import tarfile
import zipfile
from bz2 import BZ2File
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

MAX_MEMBERS = 500_000
"""Most members of an archive; COCO's largest has 118,288."""
MAX_PIECE = 2**26
"""Most bytes that are read at once, as the list of a zip file's members is."""
MAX_HEADER = 2**20
"""Most bytes of one header of a tar file."""
MAX_RATIO = 100
"""How many times as large as a packed file what is in it may be, beyond `FREE`."""
FREE = 2**26
"""Bytes that even the smallest packed file may hold."""

_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 1


class Member(NamedTuple):
    """A file, folder or something else.

    Attributes:
        name: As the archive has it.
        size: Bytes that its header says.
        place: Where its header is.
        is_folder: Whether it is one.
        is_file: Whether it is a plain file.
        open: Its content; of a tar file, to be read before the next member is asked for.
    """

    name: str
    size: int
    place: int
    is_folder: bool
    is_file: bool
    open: Callable[[], AbstractContextManager[IO[bytes]]]


@contextmanager
def zip_members(path: Path) -> Iterator[Iterator[Member]]:
    """The members of a zip file.

    Raises:
        ValueError: Something is larger than is read, or packed in a way that cannot be bounded;
            zipfile's and zlib's own errors besides.
    """
    with path.open("rb") as file, zipfile.ZipFile(cast(IO[bytes], _Pieces(file))) as archive:
        infos = [*_counted(archive.infolist())]
        _check_overlap(infos)
        yield map(functools.partial(_zip_member, archive, path), infos)


def _check_overlap(infos: list[zipfile.ZipInfo]) -> None:
    """Members that share their bytes unpack to more than any one packed file could."""
    ordered = sorted(infos, key=lambda info: info.header_offset)
    for before, after in pairwise(ordered):
        if before.header_offset + before.compress_size >= after.header_offset:
            raise ValueError(f"{before.filename} and {after.filename} overlap")


def _zip_member(archive: zipfile.ZipFile, path: Path, info: zipfile.ZipInfo) -> Member:
    if info.compress_type not in _METHODS:
        raise ValueError(f"{info.filename} is packed by method {info.compress_type}, not deflated")
    if info.flag_bits & _ENCRYPTED:
        raise ValueError(f"{info.filename} is encrypted")
    if info.file_size > FREE + MAX_RATIO * path.stat().st_size:
        raise ValueError(f"{info.filename} unpacks to more than {MAX_RATIO} times the archive")
    # Written on Windows, a member has no kind: then it is a plain file.
    kind = stat.S_IFMT(info.external_attr >> 16)
    return Member(
        name=info.filename,
        size=info.file_size,
        place=info.header_offset,
        is_folder=info.is_dir() and kind in (0, stat.S_IFDIR),
        is_file=not info.is_dir() and kind in (0, stat.S_IFREG),
        open=functools.partial(archive.open, info),
    )


@contextmanager
def tar_members(path: Path) -> Iterator[Iterator[Member]]:
    """The members of a tar file, packed or not.

    Raises:
        tarfile.ReadError: It is damaged, or something in it is larger than is read; the packers'
            own errors besides.
    """
    with ExitStack() as stack:
        file = stack.enter_context(path.open("rb"))
        head = file.read(6)
        file.seek(0)
        opener = next((known for mark, known in _PACKED.items() if head.startswith(mark)), None)
        stream = file if opener is None else stack.enter_context(opener(file))
        forward: Any = _Forward(stream, FREE + MAX_RATIO * path.stat().st_size)
        archive = stack.enter_context(tarfile.open(fileobj=forward, mode="r:"))
        yield (_tar_member(forward, info) for info in _counted(archive))


_PACKED: dict[bytes, Any] = {
    b"\x1f\x8b": lambda file: gzip.GzipFile(fileobj=file),
    b"BZh": BZ2File,
    b"\xfd7zXZ\0": lzma.LZMAFile,
}


def _tar_member(forward: "_Forward", info: tarfile.TarInfo) -> Member:
    @contextmanager
    def open_member() -> Iterator[Any]:
        forward.seek(info.offset_data)
        yield _Content(forward, info.size)

    is_file = info.isreg() and not info.issparse()
    return Member(info.name, info.size, info.offset, info.isdir(), is_file, open_member)


def _counted(infos: Any) -> Iterator[Any]:
    for count, info in enumerate(infos, start=1):
        if count > MAX_MEMBERS:
            raise ValueError(f"more than {MAX_MEMBERS} members")
        yield info


class _Pieces:
    """A file that is never read whole."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.tell, self.seek, self.seekable = stream.tell, stream.seek, stream.seekable

    def read(self, size: int = -1) -> bytes:
        content = self._stream.read(size if 0 <= size <= MAX_PIECE else MAX_PIECE + 1)
        if len(content) > MAX_PIECE:
            raise ValueError(f"its list of members is larger than {MAX_PIECE} bytes")
        return content


class _Forward:
    """A stream up to some end, read from its start on and in bounded pieces.

    A hostile header can send tarfile backwards for ever, or have it read all there is at once.
    """

    def __init__(self, stream: Any, end: int) -> None:
        self._stream = stream
        self._end = end
        self.tell = stream.tell

    def seek(self, offset: int) -> int:
        if offset < self.tell():
            raise tarfile.ReadError("a header points backwards")
        self._check(offset)
        return self._stream.seek(offset)

    def read(self, size: int) -> bytes:
        if not 0 <= size <= MAX_HEADER:
            raise tarfile.ReadError(f"a header of more than {MAX_HEADER} bytes")
        self._check(self.tell() + size)
        return self._stream.read(size)

    def _check(self, offset: int) -> None:
        if offset > self._end:
            raise tarfile.ReadError(f"it unpacks to more than {MAX_RATIO} times its size")


class _Content:
    """What is left of one member of a stream."""

    def __init__(self, forward: _Forward, size: int) -> None:
        self._forward = forward
        self._left = size

    def read(self, size: int) -> bytes:
        content = self._forward.read(min(size, self._left))
        self._left -= len(content)
        return content
