import io
import struct
import time
import zlib
from pathlib import Path

import pytest
from PIL import Image

from mnv2_dense.errors import UserError
from mnv2_dense.images import read_image


def test_a_progressive_jpeg_of_many_scans_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "7.jpg"
    Image.new("L", (64, 64)).save(path, progressive=True)
    assert read_image(path).shape == (64, 64, 3)
    data = path.read_bytes()
    start = data.index(b"\xff\xda")
    path.write_bytes(data[:start] + data[start:-2] * 200 + data[-2:])
    with pytest.raises(UserError, match="scans are too many"):
        read_image(path)


def test_few_scans_of_many_pixels_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "7.jpg"
    Image.new("L", (64, 64)).save(path, progressive=True)
    monkeypatch.setattr("mnv2_dense.image_bounds.MAX_SCANNED", 2 * 64 * 64)
    with pytest.raises(UserError, match="scans are too many"):
        read_image(path)


def chunk(name: bytes, data: bytes = b"") -> bytes:
    """A part of a PNG."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png_with(parts: bytes, after: bytes = b"") -> bytes:
    """A sound PNG of 10 x 10 gray pixels with more parts before or behind its pixels."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 10, 10, 8, 0, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(bytes(110)))
    return b"\x89PNG\r\n\x1a\n" + header + parts + pixels + after + chunk(b"IEND")


def gif_with(extensions: bytes) -> bytes:
    frame = b"," + struct.pack("<HHHH", 0, 0, 10, 10) + b"\0\2\2L\1\0;"
    return b"GIF89a" + struct.pack("<HH", 10, 10) + b"\0\0\0" + extensions + frame


def jpeg_with(parts: bytes) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (8, 8)).save(buffer, "JPEG")
    return buffer.getvalue()[:2] + parts + buffer.getvalue()[2:]


def tiff_with(side: int, following: int = 0, strips: int = 1, *, big: bool = False) -> bytes:
    """A gray TIFF that claims a size, another picture behind it, and a number of strips."""
    values = {256: side, 257: side, 258: 8, 259: 1, 262: 1, 273: 8, 278: side, 279: 100}
    counts = {273: strips, 279: strips}
    entry = "<HHQQ" if big else "<HHII"
    table = b"".join(struct.pack(entry, tag, 4, counts.get(tag, 1), values[tag]) for tag in values)
    if big:
        start = b"II+\0" + struct.pack("<HHQQ", 8, 0, 16, len(values))
    else:
        start = b"II*\0" + struct.pack("<IH", 8, len(values))
    return start + table + struct.pack("<Q" if big else "<I", following) + bytes(100)


UNPACKED = zlib.compress(bytes(8 << 20), 9)
EXIF_PART = b"\xff\xe1\xff\xff" + b"Exif\0\0".ljust(65533, b"a")
IN_PARTS = "in more parts than pictures are"
REFUSED_BOMBS: dict[str, tuple[bytes, str]] = {
    "empty chunks": (png_with(chunk(b"abCd") * 100_000), IN_PARTS),
    "empty chunks behind the pixels": (png_with(b"", chunk(b"abCd") * 100_000), IN_PARTS),
    "empty pixels": (png_with(chunk(b"IDAT") * 100_000), IN_PARTS),
    "profiles": (png_with(chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(9999))) * 999), IN_PARTS),
    "zTXt": (png_with(chunk(b"zTXt", b"a\0\0" + UNPACKED)), "Decompressed data too large"),
    "iCCP": (png_with(chunk(b"iCCP", b"a\0\0" + UNPACKED)), "Decompressed data too large"),
    "iTXt": (png_with(chunk(b"iTXt", b"a\0\1\0\0\0" + UNPACKED)), "Decompressed data too large"),
    "comments of a GIF": (gif_with((b"!\xfe\xff" + b"a" * 255 + b"\0") * 9999), IN_PARTS),
    "markers": (jpeg_with(b"\xff\xe5\0\2" * 100_000), IN_PARTS),
    "padding": (jpeg_with(b"\xff" * 100_000), IN_PARTS),
    "EXIF in parts": (jpeg_with(EXIF_PART * 250), IN_PARTS),
    "comment of a PPM": (b"P6\n#" + b"a" * 100_000 + b"\n1 1 255\naaa", IN_PARTS),
    "comments of a PPM": (b"P3\n9 9 255\n" + b"#\n" * 100_000, "or 1000 comments"),
    "60,000 pixels of a PPM": (b"P6 60000 60000 255\n", "too large to be opened"),
    "60,000 pixels of a TIFF": (tiff_with(60000), "too large to be opened"),
    "strips": (tiff_with(10, strips=3_000_000), "more than 100,000 strips"),
    "strips of a BigTIFF": (tiff_with(10, strips=3_000_000, big=True), "more than 100,000 strips"),
    "PostScript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n", "not an image"),
    "SVG": (b'<svg xmlns="http://www.w3.org/2000/svg" width="9"/>', "not an image"),
    "JPEG 2000": (b"\0\0\0\x0cjP  \r\n\x87\n\0\0\0\x14ftypjp2 ", "not an image"),
}


@pytest.mark.parametrize("kind", REFUSED_BOMBS)
def test_bombs_are_refused_in_no_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr("mnv2_dense.images.MAX_READS", 20_000)
    data, problem = REFUSED_BOMBS[kind]
    (tmp_path / "a.jpg").write_bytes(data)
    started = time.process_time()
    with pytest.raises(UserError, match=rf"a\.jpg: .*{problem}") as caught:
        read_image(tmp_path / "a.jpg")
    assert time.process_time() - started < 2
    assert str(caught.value).isprintable()


SOUND_BUT_ODD: dict[str, bytes] = {
    "too many pixels packed": png_with(chunk(b"IDAT", zlib.compress(bytes(1 << 20)))),
    "frames that are not there": png_with(chunk(b"acTL", struct.pack(">II", 2**31 - 1, 0))),
    "itself as the next picture": tiff_with(10, following=8),
    "hundreds of parts": png_with(chunk(b"tEXt", b"a\0b") * 500),
}


@pytest.mark.parametrize("kind", SOUND_BUT_ODD)
def test_odd_files_with_a_sound_picture(tmp_path: Path, kind: str) -> None:
    (tmp_path / "a.png").write_bytes(SOUND_BUT_ODD[kind])
    assert read_image(tmp_path / "a.png").shape == (10, 10, 3)
