"""One archive on the disk, with the right bytes."""

from collections.abc import Sequence
from pathlib import Path

import pooch

from mnv2_dense.downloading.catalog import Archive
from mnv2_dense.downloading.resume import PAUSES, ResumingDownloader
from mnv2_dense.errors import UserError


def partial_file(archive: Archive, folder: Path) -> Path:
    """Where the bytes of an archive are collected until all have come."""
    return folder / f"{archive.name}.part"


def fetch(archive: Archive, folder: Path, *, pauses: Sequence[float] = PAUSES) -> Path:
    """The archive's file in `folder`: the one that is there, or fetched.

    Args:
        archive: What to fetch.
        folder: An existing folder. A partial file in it is continued.
        pauses: Seconds before each new try after a failure.

    Raises:
        UserError: The file cannot be fetched, or it, or the one that is there, has another
            checksum. A fetched one is deleted then, one that is there is left alone.
    """
    path = folder / archive.name
    if path.exists():
        print(f"{path}: is there, comparing its checksum", flush=True)
        _check_given(path, archive.md5)
        return path
    print(f"{path}: fetching {archive.url}", flush=True)
    pooch.get_logger().setLevel("WARNING")
    downloader = ResumingDownloader(
        partial_file(archive, folder), archive.size, reserve=archive.unpacked, pauses=pauses
    )
    try:
        pooch.retrieve(
            archive.url,
            f"md5:{archive.md5}",
            fname=archive.name,
            path=folder,
            downloader=downloader,  # pyrefly: ignore[bad-argument-type]
        )
    except ValueError as error:  # pooch's word for a wrong checksum
        downloader.partial.forget()
        raise UserError(
            f"{archive.url}: what came is not the file of the catalogue (checksum md5 "
            f"{archive.md5}), so it was deleted; run the same command again, and if that does not "
            "help, the file on the server has changed or something on the way alters it"
        ) from error
    downloader.partial.forget()
    return path


def _check_given(path: Path, md5: str) -> None:
    found = pooch.file_hash(str(path), alg="md5")
    if found != md5:
        raise UserError(
            f"{path}: has the checksum md5 {found}, the catalogue says {md5}; move it away and "
            "run the same command again"
        )
