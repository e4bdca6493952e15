"""The records of torch's zip archives, refused where they are not laid out as torch does it."""

import os
import re
import struct
import zipfile
from dataclasses import dataclass
from itertools import pairwise
from typing import BinaryIO

from mnv2_dense.image_files import leaves_folder

MAX_RECORDS = 65_535
MAX_PICKLE = 16 * 2**20
"""Bytes of the description of all values but the tensors' own numbers."""
PICKLE = "data.pkl"
_DATA = "data/"
"""Folder of the tensors' numbers in the archive's folder."""
_MAX_DIRECTORY = MAX_RECORDS * 128
_MAX_COMMENT = 65_535
_ENCRYPTED = 0x1 | 0x40 | 0x2000
_END = struct.Struct("<4s4H2LH")
_END_64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR = struct.Struct("<4sLQL")
_LOCAL = struct.Struct("<4s22x2H")
RECORD = b"PK\x03\x04"
"""First bytes of an archive and of each record in it."""


class BadArchiveError(Exception):
    """No whole archive, or one that torch does not write; the message says what is wrong."""


@dataclass(frozen=True)
class Directory:
    """Where the list of an archive's records is.

    Attributes:
        count: Records in it.
        size: Bytes of it.
        offset: Its first byte.
        comment: The text at the end of the archive.
    """

    count: int
    size: int
    offset: int
    comment: bytes


def read_directory(file: BinaryIO) -> Directory:
    """The end of a zip archive, whose last byte is the file's.

    Raises:
        BadArchiveError: The file does not end as one whole archive does.
    """
    length = os.fstat(file.fileno()).st_size
    file.seek(max(0, length - _END.size - _MAX_COMMENT))
    tail = file.read()
    start = _find_end(tail)
    *_, count, size, offset, _ = _END.unpack_from(tail, start)
    end = length - len(tail) + start
    directory = Directory(count, size, offset, tail[start + _END.size :])
    wide_end = end - _LOCATOR.size - _END_64.size
    if wide := _read_wide(file, wide_end):
        directory, end = _merge(directory, wide), wide_end
    if directory.offset + directory.size != end:
        raise BadArchiveError("its list of records is not at its end")
    if directory.count > MAX_RECORDS or directory.size > _MAX_DIRECTORY:
        raise BadArchiveError(f"it has more than {MAX_RECORDS} records")
    return directory


def _find_end(tail: bytes) -> int:
    """Where the end record is whose comment goes on to the last byte."""
    for found in re.finditer(re.escape(b"PK\x05\x06"), tail):
        behind = found.start() + _END.size
        if behind <= len(tail) and behind + _END.unpack_from(tail, found.start())[-1] == len(tail):
            return found.start()
    raise BadArchiveError("it is cut short")


def _read_wide(file: BinaryIO, start: int) -> tuple[int, int, int] | None:
    """Count, size and offset of the 64-bit end record at `start`, if there is one."""
    if start < 0:
        return None
    file.seek(start)
    block = file.read(_END_64.size + _LOCATOR.size)
    signature, _, place, _ = _LOCATOR.unpack_from(block, _END_64.size)
    if signature != b"PK\x06\x07":
        return None
    fields = _END_64.unpack_from(block)
    if fields[0] != b"PK\x06\x06" or place != start:
        raise BadArchiveError("its 64-bit list of records is misplaced")
    return fields[-3:]


def _merge(narrow: Directory, wide: tuple[int, int, int]) -> Directory:
    """The 64-bit record's figures; what fits into the older record must be the same there."""
    count, size, offset = wide
    same = (
        narrow.count in {count, 0xFFFF}
        and narrow.size in {size, 0xFFFFFFFF}
        and narrow.offset in {offset, 0xFFFFFFFF}
    )
    if not same:
        raise BadArchiveError("it has two lists of records")
    return Directory(count, size, offset, narrow.comment)


def read_records(file: BinaryIO) -> tuple[bytes, dict[str, int]]:
    """The pickle of a torch archive, and the bytes of each of its storages by key.

    Raises:
        BadArchiveError: It is not laid out as torch does it: records that are compressed,
            encrypted, overlap, have the same name or are outside one folder, or a pickle of more
            than `MAX_PICKLE` bytes.
        Exception: Of any kind, where the list of records is damaged.
    """
    directory = read_directory(file)
    with zipfile.ZipFile(file) as archive:
        records = archive.infolist()
        folder = _check_names(records) if len(records) == directory.count else ""
        if not folder:
            raise BadArchiveError("its list of records is damaged")
        _check_places(file, records, directory.offset)
        if archive.getinfo(folder + PICKLE).file_size > MAX_PICKLE:
            raise BadArchiveError(f"its description of values is over {MAX_PICKLE} bytes")
        pickled = archive.read(folder + PICKLE)
    data = folder + _DATA
    sizes = {record.filename.removeprefix(data): record.file_size for record in records}
    return pickled, sizes


def _check_names(records: list[zipfile.ZipInfo]) -> str:
    """The one folder of all records, with its slash; torch looks names up in any case."""
    names = {record.filename.lower() for record in records}
    if len(names) != len(records):
        raise BadArchiveError("it has several records of one name")
    folder = records[0].filename.partition("/")[0] + "/"
    for record in records:
        name = record.orig_filename
        if name != record.filename or not name.startswith(folder) or leaves_folder(name):
            raise BadArchiveError("its records are not in one folder")
    return folder


def _check_places(file: BinaryIO, records: list[zipfile.ZipInfo], end: int) -> None:
    """Refuses records that overlap or would grow when they are read."""
    spans = sorted((record.header_offset, _record_end(file, record)) for record in records)
    ends = [*spans, (end, end)]
    if spans[0][0] != 0 or any(before[1] > after[0] for before, after in pairwise(ends)):
        raise BadArchiveError("its records overlap")


def _record_end(file: BinaryIO, record: zipfile.ZipInfo) -> int:
    """The byte after a record that is stored as it is."""
    if record.flag_bits & _ENCRYPTED:
        raise BadArchiveError("it has encrypted records")
    if record.compress_type != zipfile.ZIP_STORED or record.compress_size != record.file_size:
        raise BadArchiveError("it has compressed records, which torch does not write")
    file.seek(record.header_offset)
    signature, name, extra = _LOCAL.unpack(file.read(_LOCAL.size))
    if signature != RECORD:
        raise BadArchiveError("its list of records is damaged")
    return record.header_offset + _LOCAL.size + name + extra + record.compress_size
