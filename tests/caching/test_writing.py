import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mnv2_dense.caching import writing
from mnv2_dense.caching.writing import encode_labels, encode_picture, write_file
from mnv2_dense.image_files import SUFFIXES
from mnv2_dense.images import FORMATS, read_image
from mnv2_dense.structures import IGNORE_INDEX

NOISE = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)


def save(path: Path, quality: int) -> bytes:
    Image.fromarray(NOISE).save(path, quality=quality)
    return path.read_bytes()


def test_a_file_takes_its_place_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "a" / "b.jpg"
    write_file(place, b"before")

    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(KeyboardInterrupt):
        write_file(place, b"after")
    assert place.read_bytes() == b"before"
    assert list(place.parent.iterdir()) == [place]


def test_a_resized_picture_is_a_jpeg_of_the_quality(tmp_path: Path) -> None:
    save(tmp_path / "a.png", 0)
    found, suffix = encode_picture(NOISE[:20], tmp_path / "a.png", 80, resized=True)
    expected = io.BytesIO()
    Image.fromarray(NOISE[:20]).save(expected, "JPEG", quality=80)
    assert (found, suffix) == (expected.getvalue(), ".jpg")


def test_a_small_jpeg_is_compressed_anew_only_where_that_saves_bytes(tmp_path: Path) -> None:
    before = save(tmp_path / "a.jpg", 60)
    fewer, _ = encode_picture(read_image(tmp_path / "a.jpg"), tmp_path / "a.jpg", 30, resized=False)
    assert len(fewer) < len(before)
    found = encode_picture(read_image(tmp_path / "a.jpg"), tmp_path / "a.jpg", 90, resized=False)
    assert found == (before, ".jpg")


def test_another_format_becomes_a_jpeg_also_where_it_is_larger(tmp_path: Path) -> None:
    Image.new("RGB", (50, 40)).save(tmp_path / "a.png")
    found, suffix = encode_picture(NOISE, tmp_path / "a.png", 90, resized=False)
    assert suffix == ".jpg"
    assert len(found) > (tmp_path / "a.png").stat().st_size


def test_quality_100_copies_what_is_small_enough(tmp_path: Path) -> None:
    before = save(tmp_path / "a.PNG", 0)
    assert encode_picture(NOISE, tmp_path / "a.PNG", writing.KEEP, resized=False) == (
        before,
        ".png",
    )
    assert encode_picture(NOISE, tmp_path / "a.PNG", writing.KEEP, resized=True)[1] == ".jpg"


@pytest.mark.parametrize("format_", [*FORMATS, "MPO"])
@pytest.mark.parametrize("name", ["x", "x.jfif", "x.png"])
def test_a_copy_is_called_by_its_format(tmp_path: Path, format_: str, name: str) -> None:
    image = Image.fromarray(NOISE)
    several = {"save_all": True, "append_images": [image]} if format_ == "MPO" else {}
    image.save(tmp_path / name, format_, **several)
    found, suffix = encode_picture(NOISE, tmp_path / name, writing.KEEP, resized=False)
    assert found == (tmp_path / name).read_bytes()
    assert suffix in SUFFIXES
    assert suffix[1:] == {"JPEG": "jpg", "MPO": "jpg", "TIFF": "tif"}.get(format_, format_.lower())


def test_label_maps_are_kept_exactly() -> None:
    labels = np.array([[0, 20, IGNORE_INDEX], [1, 2, 254]], np.uint8)
    with Image.open(io.BytesIO(encode_labels(labels))) as image:
        assert (image.format, image.mode) == ("PNG", "P")
        assert np.array_equal(np.asarray(image), labels)
        assert image.convert("RGB").getpixel((1, 0)) == (0, 64, 128)  # VOC's tvmonitor
