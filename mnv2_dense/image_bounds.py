"""Bounds on what a picture file from a stranger may cost before and while it is decoded."""

import io
import struct
from pathlib import Path

from PIL.ImageFile import ImageFile
from PIL.TiffImagePlugin import (
    STRIPOFFSETS,
    TILEOFFSETS,
)
from typing_extensions import override

MAX_HEADER_READS = 2000
"""Times that a decoder may read from a file before its pixels; three to five for a part of it.

Most have less than fifty parts; a bomb has millions of empty ones, or of unpacked profiles.
"""
MAX_HEADER_WORK = 15_000_000_000
"""Times that it reads before the pixels by bytes read: each of EXIF's parts copies those before."""
MAX_READS = 200_000
"""Times that it may read pixels: enough for 500 MB in PNG's usual parts of 8 KiB."""
MAX_STRIPS = 100_000
"""Strips or tiles of a TIFF."""
MAX_SCANS = 100
"""Of a progressive JPEG; encoders write some ten."""
MAX_SCANNED = 4_000_000_000
"""Pixels of all its scans: some four seconds."""
_SCAN = b"\xff\xda"
"""The marker before a scan; in coded pixels 255 is followed by 0."""
_PART = 1 << 24
MAX_PLAIN = 16 << 20
"""Bytes of a PPM in decimal text, which is decoded in Python."""
MAX_PLAIN_COMMENTS = 1000


class CountedFile(io.BufferedReader):
    """A file that may be read from a limited number of times: most decoders' loops are Python."""

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(path))
        self.limit_reads(MAX_HEADER_READS, MAX_HEADER_WORK)

    def limit_reads(self, most: int, most_work: float) -> None:
        """Counts anew."""
        self._most, self._most_work = most, most_work
        self._reads = self._bytes = 0

    @override
    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self._reads += 1
        self._bytes += len(data)
        if self._reads > self._most or self._reads * self._bytes > self._most_work:
            raise ValueError("it is in more parts than pictures are; save it again")
        return data


def refuse_strips(file: CountedFile) -> None:
    """Refuses TIFFs of more than `MAX_STRIPS`, of which Pillow lists each when it opens one."""
    start = file.read(16)
    order, big = {b"II": "<", b"MM": ">"}.get(start[:2]), b"+" in start[2:4]
    if order is not None and len(start) == 16:
        tags = struct.Struct(f"{order}{'HHQ8x' if big else 'HHI4x'}")
        file.seek(struct.unpack(f"{order}{'8xQ' if big else '4xI8x'}", start)[0])
        file.read(8 if big else 2)
        table = file.read(MAX_HEADER_READS * tags.size)
        for tag, _, count in tags.iter_unpack(table[: len(table) // tags.size * tags.size]):
            if tag in (STRIPOFFSETS, TILEOFFSETS) and count > MAX_STRIPS:
                raise ValueError(f"a TIFF of more than {MAX_STRIPS:,} strips; save it again")
    file.seek(0)


def refuse_scans(file: CountedFile, image: ImageFile) -> None:
    """Refuses progressive JPEGs of many scans, of which each goes over all pixels again."""
    if "progressive" not in image.info:
        return
    place, scans = file.tell(), 0
    file.seek(0)
    while part := file.read(_PART):
        scans += part.count(_SCAN)
    file.seek(place)
    if scans > MAX_SCANS or scans * image.width * image.height > MAX_SCANNED:
        raise ValueError(f"{scans} scans are too many; save it again")


def refuse_plain(file: CountedFile, image: ImageFile) -> None:
    """Refuses PPMs in text that take minutes."""
    if not image.tile or image.tile[0].codec_name != "ppm_plain":
        return
    place = file.tell()
    text = file.read(MAX_PLAIN + 1)
    file.seek(place)
    if len(text) > MAX_PLAIN or text.count(b"#") > MAX_PLAIN_COMMENTS:
        raise ValueError(
            f"a PPM in text of more than {MAX_PLAIN >> 20} MB or {MAX_PLAIN_COMMENTS} comments; "
            "save it as PNG"
        )
