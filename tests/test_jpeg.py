import io
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mnv2_dense import jpeg
from mnv2_dense.errors import UserError
from mnv2_dense.images import open_image, read_image, to_rgb
from mnv2_dense.jpeg import decode_plain

MARKER = b"\xff\xd9"


def smooth(height: int, width: int, seed: int = 0) -> Image.Image:
    """A picture whose JPEG has something to decode at any quality."""
    values = np.random.default_rng(seed).normal(0, 25, (height, width, 3)).cumsum(0).cumsum(1)
    return Image.fromarray((values % 256).astype(np.uint8))


def encode(image: Image.Image, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", **options)
    return buffer.getvalue()


def decode(path: Path, content: bytes) -> np.ndarray | None:
    path.write_bytes(content)
    with open_image(path) as image:
        return decode_plain(image)


def pillows(path: Path) -> np.ndarray | str:
    """Pillow's pixels, or why it refuses the file."""
    try:
        with open_image(path) as image:
            return to_rgb(image)
    except UserError as error:
        return str(error)


def quick(path: Path) -> np.ndarray | str:
    """The same as the package reads it."""
    try:
        return read_image(path)
    except UserError as error:
        return str(error)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.jpg"


@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (8, 17), (33, 16), (101, 67)])
def test_pixels_are_pillows(path: Path, height: int, width: int, subsampling: int) -> None:
    for seed, quality in enumerate((5, 50, 75, 100)):
        image = smooth(height, width, seed)
        for comment in (b"", b"a\xff\xd9b"):
            settings = {"quality": quality, "subsampling": subsampling, "comment": comment}
            pixels = decode(path, encode(image, **settings))
            np.testing.assert_array_equal(pixels, pillows(path))


def test_gray_and_untransformed_pixels_are_pillows(path: Path) -> None:
    gray = encode(smooth(40, 30).convert("L"))
    for content in (gray, encode(smooth(40, 30), keep_rgb=True, subsampling=0)):
        pixels = decode(path, content)
        np.testing.assert_array_equal(pixels, pillows(path))


def test_exif_rotation_is_ignored(path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = decode(path, encode(smooth(40, 30), exif=exif))
    assert pixels is not None
    assert pixels.shape == (40, 30, 3)
    np.testing.assert_array_equal(pixels, pillows(path))


def insert(content: bytes, part: bytes) -> bytes:
    """A file with something in the middle of its scan."""
    middle = (content.index(b"\xff\xda") + len(content)) // 2
    return content[:middle] + part + content[middle:]


def spoil(content: bytes) -> list[bytes]:
    """A file that breaks off, goes on, or has markers in its scan or other parts in its head."""
    return [
        content[:-2],
        content[:-40],
        content + b"\0",
        content[:-40] + MARKER + content[-40:],
        insert(content, b"\xff\xd0"),
        insert(content, b"\xff\x4f"),
        content.replace(b"\xff\xda\0\x0c\x03", b"\xff\xda\0\x0a\x02"),
    ]


def test_other_files_are_left_to_pillow(path: Path) -> None:
    content = encode(smooth(60, 50))
    assert decode(path, content) is not None
    for spoilt in spoil(content):
        assert decode(path, spoilt) is None


def test_other_modes_are_left_to_pillow(path: Path) -> None:
    assert decode(path, encode(smooth(60, 50), progressive=True)) is None
    assert decode(path, encode(smooth(60, 50).convert("CMYK"))) is None
    assert decode(path, encode(smooth(60, 50), restart_marker_rows=1)) is None
    png = io.BytesIO()
    smooth(60, 50).save(png, "PNG")
    assert decode(path, png.getvalue()) is None


def test_large_files_are_left_to_pillow(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = encode(smooth(60, 50))
    for most, plain in ((len(content), True), (len(content) - 1, False)):
        monkeypatch.setattr(jpeg, "MAX_BYTES", most)
        assert (decode(path, content) is not None) == plain


def test_damaged_files_are_read_or_refused_as_pillow_does(path: Path) -> None:
    generator = random.Random(0)
    sources = [encode(smooth(40, 50, seed), quality=60 + 10 * seed) for seed in range(4)]
    plain = 0
    for _ in range(600):
        content = bytearray(generator.choice(sources))
        for _ in range(generator.choice((1, 1, 2, 20))):
            content[generator.randrange(2, len(content) - 2)] = generator.randrange(256)
        if generator.random() < 0.2:
            content = content[: generator.randrange(2, len(content))] + MARKER
        path.write_bytes(content)
        expected, found = pillows(path), quick(path)
        np.testing.assert_array_equal(found, expected)
        plain += not isinstance(found, str)
    assert plain > 100
