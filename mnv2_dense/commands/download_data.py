"""Brings a public data set into the layout that the configs expect."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from mnv2_dense.downloading.catalog import CATALOG, Archive, DataSet
from mnv2_dense.downloading.fetch import fetch, partial_file
from mnv2_dense.downloading.place import is_complete, place, write_record
from mnv2_dense.downloading.resume import PAUSES
from mnv2_dense.downloading.space import require_space
from mnv2_dense.downloading.unpack import unpack
from mnv2_dense.errors import UserError

STORE = "downloads"
"""Folder below the root for archives, partial files and the records of what was unpacked."""


def download_data(
    name: str,
    *,
    root: Path,
    keep_archives: bool = False,
    catalog: Mapping[str, DataSet] = CATALOG,
    pauses: Sequence[float] = PAUSES,
) -> None:
    """Fetches, checks and unpacks what is not there yet.

    An archive is deleted once its files are in place, unless it was there before the call.

    Args:
        name: The data set's name in the catalogue.
        root: Folder of all data sets.
        keep_archives: Delete no archive.
        catalog: The data sets that there are.
        pauses: Seconds before each new try after a failure.

    Raises:
        UserError: The data set cannot be had whole and unaltered, the disk is too small, or a
            file of the user's is in the way.
    """
    dataset = catalog[name]
    target, store = root / dataset.folder, root / STORE
    _check_required(dataset, target)
    store.mkdir(parents=True, exist_ok=True)
    with _alone(store):
        pending = [
            archive
            for archive in dataset.archives
            if not is_complete(_record(archive, store), archive.md5, target)
        ]
        if not pending:
            print(f"{target}: {name} is complete, nothing to fetch")
            return
        purpose = f"{name}, archives and files,"
        require_space(store, _peak(pending, store, keep_archives), purpose)
        for archive in pending:
            _install(archive, dataset, target, store, keep=keep_archives, pauses=pauses)
        print(f"{target}: {name} is complete")


def _install(
    archive: Archive,
    dataset: DataSet,
    target: Path,
    store: Path,
    *,
    keep: bool,
    pauses: Sequence[float],
) -> None:
    given = (store / archive.name).exists()
    path = fetch(archive, store, pauses=pauses)
    staging = store / f"{archive.name}.unpacking"
    # One of a call that was killed.
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir()
    try:
        ready = staging / "archive"
        unpack(path, ready, archive.members)
        if dataset.convert is not None:
            ready = staging / "converted"
            ready.mkdir()
            dataset.convert(staging / "archive", target, ready)
        names = place(ready, target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    write_record(_record(archive, store), archive.md5, names, target)
    print(f"{target}: {len(names)} files of {archive.name} are in place", flush=True)
    if given or keep:
        print(f"{path}: kept; it is no longer needed")
    else:
        path.unlink()


def _check_required(dataset: DataSet, target: Path) -> None:
    missing = [name for name in dataset.requires if not (target / name).exists()]
    if missing:
        raise UserError(
            f"{target}: {', '.join(missing)} must be there first; run "
            f"`mnv2-dense download_data {dataset.required_set}` with the same --root before"
        )


@contextmanager
def _alone(store: Path) -> Iterator[None]:
    """Two processes would write into the same partial file."""
    try:
        with FileLock(store / ".lock", timeout=0):
            yield
    except Timeout as error:
        raise UserError(f"{store}: another download into this folder is running") from error


def _record(archive: Archive, store: Path) -> Path:
    return store / f"{archive.name}.files.txt"


def _peak(pending: Sequence[Archive], store: Path, keep: bool) -> int:
    """Bytes of the disk that are taken at most on the way, by the catalogue's sizes."""
    peak = taken = 0
    for archive in pending:
        present = [store / archive.name, partial_file(archive, store)]
        held = sum(path.stat().st_size for path in present if path.exists())
        rest = max(archive.size - held, 0)
        peak = max(peak, taken + rest + archive.unpacked)
        taken += archive.unpacked + (rest if keep else 0)
    return peak
