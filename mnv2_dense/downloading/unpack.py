"""Archives from the network, unpacked without trust in the names and kinds of their members."""

import gzip
import lzma
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from unicodedata import normalize

from tqdm import tqdm

from mnv2_dense.downloading.members import Member, tar_members, zip_members
from mnv2_dense.downloading.space import require_space
from mnv2_dense.errors import UserError
from mnv2_dense.image_files import leaves_folder
from mnv2_dense.ops.texts import list_first

MAX_DEPTH = 32
"""Most folders inside one another."""

_PIECE = 1 << 16
_DAMAGE = (
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, gzip.BadGzipFile),
    # Also encrypted members, NUL in names, and what headers of nonsense lead to.
    *(EOFError, OSError, RuntimeError, ValueError, LookupError, TypeError, MemoryError),
)


def unpack(path: Path, out: Path, beginnings: Sequence[str] = ("",)) -> None:
    """Writes the files of a zip or tar archive below a new folder.

    Files are written byte by byte as new ones with the user's own permissions: nothing in the
    archive can make a link, a device or a program, or write elsewhere. Folders come with their
    files. No file gets more bytes than its header says, for which there is room on the disk.

    Args:
        path: The archive; the suffix .zip tells a zip file, everything else is a tar file.
        out: The folder, which must not exist; its parent must.
        beginnings: Only members whose names begin with one of these are looked at.

    Raises:
        UserError: A member would leave the folder or is no plain file, the archive is damaged or
            unpacks to too much, or its files do not fit on the disk. What has been written until
            then stays in `out`.
    """
    opener = zip_members if path.suffix == ".zip" else tar_members
    try:
        with opener(path) as found:
            members = [one for one in found if one.name.startswith(tuple(beginnings))]
        _check(path, members)
        files = [member for member in members if member.is_file]
        require_space(out.parent, sum(one.size for one in files), f"the files of {path.name}")
        out.mkdir()
        _write_all(path, files, out, opener)
    except _DAMAGE as error:
        reason = str(error)[:200] or type(error).__name__
        raise UserError(f"{path}: cannot be unpacked to {out} ({ascii(reason)[1:-1]})") from error


def _check(path: Path, members: Sequence[Member]) -> None:
    outside = [member.name for member in members if leaves_folder(member.name)]
    _refuse(path, "would be written outside of its folder (absolute or '..')", outside)
    odd = [member.name for member in members if not (member.is_file or member.is_folder)]
    _refuse(path, "are links or devices", odd)
    files = [member.name for member in members if member.is_file]
    _refuse(path, "have no proper names", [name for name in files if not _is_proper(name)])
    same = Counter(map(_on_any_system, files))
    twice = [name for name in files if same[_on_any_system(name)] > 1]
    _refuse(path, "have the same name, or would have it on some systems", twice)
    if not files:
        raise UserError(f"{path}: holds none of the files that are wanted")


def _refuse(path: Path, reason: str, names: Sequence[str]) -> None:
    if names:
        listed = list_first([ascii(name[:100])[1:-1] for name in names[:10]], len(names))
        raise UserError(f"{path}: members {reason}, so nothing was unpacked: {listed}")


def _is_proper(name: str) -> bool:
    """Whether a file may be called so: printable, and not in folders without end."""
    return name.isprintable() and Path(name).name != "" and len(Path(name).parts) <= MAX_DEPTH


def _on_any_system(name: str) -> str:
    """The same text for names that some system takes for one."""
    return normalize("NFC", Path(name.replace("\\", "/")).as_posix().casefold())


def _write_all(
    path: Path,
    files: Sequence[Member],
    out: Path,
    opener: Callable[[Path], AbstractContextManager[Iterator[Member]]],
) -> None:
    """Goes through the archive once more, and writes what was looked at, in its order."""
    wanted = iter(files)
    awaited = next(wanted)
    bar = tqdm(total=len(files), desc=f"unpacking {path.name}", unit=" files", disable=None)
    with bar, opener(path) as found:
        for member in found:
            if member[:-1] != awaited[:-1]:
                continue
            _write(member, out)
            bar.update()
            following = next(wanted, None)
            if following is None:
                return
            awaited = following
    raise EOFError("it was changed while it was read")


def _write(member: Member, out: Path) -> None:
    target = out / member.name
    target.parent.mkdir(parents=True, exist_ok=True)
    left = member.size
    with member.open() as source, target.open("xb") as file:
        while piece := source.read(min(_PIECE, left + 1)):
            left -= len(piece)
            if left < 0:
                break
            file.write(piece)
    if left:
        raise EOFError(f"{member.name} is not of the {member.size} bytes that its header says")
