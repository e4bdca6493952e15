from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mnv2_dense.caching.reading import read_plain
from mnv2_dense.caching.writing import encode_picture
from mnv2_dense.images import read_image
from mnv2_dense.structures import ImageSize

SIZE = ImageSize(37, 50)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A picture as a cache holds it."""
    pixels = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    content, _ = encode_picture(pixels, tmp_path / "a.png", 90, resized=True)
    (tmp_path / "a.jpg").write_bytes(content)
    return tmp_path / "a.jpg"


def test_the_pixels_are_those_of_any_reader(picture: Path) -> None:
    found = read_plain(picture, SIZE)
    assert found is not None
    assert np.array_equal(found, read_image(picture))


def test_other_files_are_left_to_it(picture: Path) -> None:
    codes = picture.read_bytes()
    assert read_plain(picture, ImageSize(50, 37)) is None
    assert read_plain(picture.with_name("none.jpg"), SIZE) is None
    assert read_plain(picture.with_suffix(".png"), SIZE) is None
    assert read_plain(picture.parent, SIZE) is None
    picture.write_bytes(codes[:-100])
    assert read_plain(picture, SIZE) is None
    Image.new("L", SIZE[::-1]).save(picture)
    assert read_plain(picture, SIZE) is None


def test_nothing_that_is_no_jpeg_is_decoded(picture: Path) -> None:
    codes = bytearray(picture.read_bytes())
    codes[:2] = b"XX"
    picture.write_bytes(codes)
    assert read_plain(picture, SIZE) is None
