"""Archives from the network, unpacked without trust in the names and kinds of their members."""

import functools
import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, NamedTuple

from tqdm import tqdm

from mnv2_dense.downloading.space import require_space
from mnv2_dense.errors import UserError
from mnv2_dense.images import leaves_folder
from mnv2_dense.ops.texts import list_first

_DAMAGE = (
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError),
    *(EOFError, OSError, RuntimeError, ValueError),  # also encrypted members and NUL in names
)


class _Member(NamedTuple):
    name: str
    size: int
    is_folder: bool
    is_file: bool
    open: Callable[[], IO[bytes] | None]


def unpack(path: Path, out: Path, beginnings: Sequence[str] = ("",)) -> None:
    """Writes the files of a zip or tar archive below a new folder.

    Files are written byte by byte as new ones with the user's own permissions: nothing in the
    archive can make a link, a device or a program, or write elsewhere. Folders come with their
    files.

    Args:
        path: The archive; the suffix .zip tells a zip file, everything else is a tar file.
        out: The folder, which must not exist; its parent must.
        beginnings: Only members whose names begin with one of these are looked at.

    Raises:
        UserError: A member would leave the folder or is no plain file, the archive is damaged, or
            its files do not fit on the disk. What has been written until then stays in `out`.
    """
    opener = zipfile.ZipFile if path.suffix == ".zip" else tarfile.open
    try:
        with opener(path) as archive:
            zipped = isinstance(archive, zipfile.ZipFile)
            found = _zip_members(archive) if zipped else _tar_members(archive)
            members = [one for one in found if one.name.startswith(tuple(beginnings))]
            _check(path, members)
            files = [member for member in members if member.is_file]
            require_space(out.parent, sum(one.size for one in files), f"the files of {path.name}")
            out.mkdir()
            for member in tqdm(files, f"unpacking {path.name}", unit=" files", disable=None):
                _write(member, out)
    except _DAMAGE as error:
        raise UserError(f"{path}: cannot be unpacked to {out} ({error})") from error


def _zip_members(archive: zipfile.ZipFile) -> Iterator[_Member]:
    for info in archive.infolist():
        # Written on Windows, a member has no kind: then it is a plain file.
        kind = stat.S_IFMT(info.external_attr >> 16)
        is_file = not info.is_dir() and kind in (0, stat.S_IFREG)
        is_folder = info.is_dir() and kind in (0, stat.S_IFDIR)
        yield _Member(
            *(info.filename, info.file_size, is_folder, is_file),
            functools.partial(archive.open, info),
        )


def _tar_members(archive: tarfile.TarFile) -> Iterator[_Member]:
    for info in archive:
        yield _Member(
            *(info.name, info.size, info.isdir(), info.isreg()),
            functools.partial(archive.extractfile, info),
        )


def _check(path: Path, members: Sequence[_Member]) -> None:
    outside = [member.name for member in members if leaves_folder(member.name)]
    if outside:
        raise UserError(
            f"{path}: members would be written outside of its folder (absolute or '..'), so "
            f"nothing was unpacked: {list_first(outside)}"
        )
    odd = [member.name for member in members if not (member.is_file or member.is_folder)]
    if odd:
        raise UserError(
            f"{path}: members are links or devices, so nothing was unpacked: {list_first(odd)}"
        )
    if not any(member.is_file for member in members):
        raise UserError(f"{path}: holds none of the files that are wanted")


def _write(member: _Member, out: Path) -> None:
    target = out / member.name
    target.parent.mkdir(parents=True, exist_ok=True)
    source = member.open()
    assert source is not None, "only of a member that is no file"
    with source, target.open("xb") as file:
        shutil.copyfileobj(source, file)
