import os
import threading
from pathlib import Path

import pytest
from PIL import Image

from mnv2_dense.formats.problems import Level
from mnv2_dense.inspection.pictures import (
    map_files,
    picture_findings,
    scan_picture,
    scan_pictures,
)
from mnv2_dense.structures import ImageSize
from tests.inspection.data_set import ORIENTATION, save_picture
from tests.inspection.faults import write_bomb


def test_what_a_picture_is(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    save_picture(path, 1, exif=exif)
    facts = scan_picture(path)
    assert (facts.fault, facts.format, facts.mode, facts.orientation) == ("", "JPEG", "RGB", 6)
    assert facts.size == ImageSize(48, 64)
    assert facts.upright_size == ImageSize(64, 48)


def test_a_turned_tiff_has_its_stored_size(tmp_path: Path) -> None:
    """Pillow turns TIFFs by itself."""
    path = tmp_path / "a.tif"
    save_picture(path, 1, tiffinfo={ORIENTATION: 6})
    facts = scan_picture(path)
    assert (facts.size, facts.orientation) == (ImageSize(48, 64), 6)


def test_hashes_tell_pixels_from_files(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("a.png", "b.png", "c.bmp", "d.png")]
    for path, number in zip(paths, (1, 1, 1, 2), strict=True):
        save_picture(path, number)
    first, same, other_file, other = (scan_picture(path) for path in paths)
    assert first.bytes_hash == same.bytes_hash != other_file.bytes_hash
    assert first.pixels_hash == same.pixels_hash == other_file.pixels_hash != other.pixels_hash


def test_pixels_of_another_shape_are_another_picture(tmp_path: Path) -> None:
    for name, size in (("a.png", (6, 4)), ("b.png", (4, 6))):
        Image.new("RGB", size).save(tmp_path / name)
    found = [scan_picture(tmp_path / name) for name in ("a.png", "b.png")]
    assert found[0].pixels_hash != found[1].pixels_hash


@pytest.mark.parametrize(
    ("name", "content", "fault"),
    [("a.jpg", b"no picture", "unreadable_picture"), ("gone.jpg", None, "missing_picture")],
)
def test_faults_are_said_not_raised(
    tmp_path: Path, name: str, content: bytes | None, fault: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    facts = scan_picture(tmp_path / name)
    assert facts.fault == fault
    assert name in facts.error


def test_a_folder_in_a_pictures_place_is_said(tmp_path: Path) -> None:
    assert scan_picture(tmp_path).fault == "missing_picture"


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.jpg")
    assert "no file but a folder, pipe or device" in scan_picture(tmp_path / "a.jpg").error


def test_a_bomb_is_not_decoded(tmp_path: Path) -> None:
    write_bomb(tmp_path / "a.png")
    assert scan_picture(tmp_path / "a.png").fault == "picture_bomb"


def test_modes_are_counted_apart_and_16_bit_colours_are_named(tmp_path: Path) -> None:
    for name, mode in (("gray.png", "L"), ("palette.png", "P"), ("alpha.png", "RGBA")):
        Image.new(mode, (4, 4)).save(tmp_path / name)
    Image.new("I;16", (4, 4)).save(tmp_path / "deep.png")
    Image.new("P", (4, 4)).save(tmp_path / "clear.png", transparency=0)
    facts = scan_pictures(sorted(tmp_path.iterdir()), 2)
    found = picture_findings(facts.values(), lambda path: path.name, Level.ERROR)
    titles = {
        each.problem.place: each.problem.title.split(",")[0].split("mode ")[1] for each in found
    }
    assert titles == {
        "alpha.png": "RGBA",
        "clear.png": "P (transparent)",
        "deep.png": "I;16 (16 bit)",
        "gray.png": "L",
        "palette.png": "P",
    }


@pytest.mark.parametrize("name", ["a.jpeg", "a.JPG", "a.jpe", "a.mpo", "a.jfif"])
def test_other_names_of_a_format_are_right(tmp_path: Path, name: str) -> None:
    save_picture(tmp_path / name, 1, format="JPEG")
    facts = scan_picture(tmp_path / name)
    assert picture_findings([facts], str, Level.ERROR) == []


def test_few_items_are_in_flight_at_a_time() -> None:
    """Results are handed on before the last items begin: memory does not grow with their number."""
    begun: set[int] = set()
    lock = threading.Lock()

    def begin(number: int) -> int:
        with lock:
            begun.add(number)
        return number

    results = map_files(begin, range(1000), 2, "numbers")
    assert next(results) == 0
    assert len(begun) < 1000
    assert list(results) == list(range(1, 1000))
