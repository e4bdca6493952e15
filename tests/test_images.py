import io
import struct
import warnings
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mnv2_dense.errors import UserError
from mnv2_dense.images import (
    find_images,
    image_size,
    leaves_folder,
    list_files,
    missing_files,
    open_image,
    read_image,
)
from mnv2_dense.structures import ImageSize

RED, BLUE = (255, 0, 0), (0, 0, 255)


def two_halves(width: int = 8, height: int = 4) -> Image.Image:
    """Left half red, right half blue."""
    image = Image.new("RGB", (width, height), RED)
    image.paste(BLUE, (width // 2, 0, width, height))
    return image


def test_rgb_png_is_read_exactly(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    read = read_image(tmp_path / "a.png")
    assert read.dtype == np.uint8
    assert read.flags.writeable
    np.testing.assert_array_equal(read, pixels)


@pytest.mark.parametrize("suffix", ["jpg", "webp", "bmp", "tif", "ppm", "gif"])
def test_formats(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"a.{suffix}"
    Image.new("RGB", (6, 4), RED).save(file)
    np.testing.assert_allclose(read_image(file), np.full((4, 6, 3), RED), atol=3)


def test_phone_jpeg_of_several_pictures(tmp_path: Path) -> None:
    first, second = (Image.new("RGB", (16, 16), colour) for colour in (RED, BLUE))
    first.save(tmp_path / "a.jpg", format="MPO", save_all=True, append_images=[second])
    np.testing.assert_allclose(read_image(tmp_path / "a.jpg")[8, 8], RED, atol=4)


def test_gif_gives_its_first_frame(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in (RED, BLUE)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(read_image(tmp_path / "a.gif"), np.full((4, 4, 3), RED))


def test_exif_rotation_counts_only_when_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # Stored on its side: shown turned clockwise.
    two_halves().save(tmp_path / "a.png", exif=exif)
    stored, shown = read_image(tmp_path / "a.png"), read_image(tmp_path / "a.png", upright=True)
    assert (stored.shape, shown.shape) == ((4, 8, 3), (8, 4, 3))
    np.testing.assert_array_equal(stored, np.asarray(two_halves()))
    np.testing.assert_array_equal(shown, np.rot90(stored, k=-1))
    assert tuple(shown[0, 0]) == RED


def test_cmyk_jpeg(tmp_path: Path) -> None:
    Image.new("RGB", (16, 16), RED).convert("CMYK").save(tmp_path / "a.jpg", quality=100)
    np.testing.assert_allclose(read_image(tmp_path / "a.jpg")[8, 8], RED, atol=4)


@pytest.mark.parametrize("mode", ["L", "1", "P"])
def test_gray_one_bit_and_palette(tmp_path: Path, mode: str) -> None:
    white = Image.new("RGB", (4, 4), "white")
    white.convert(mode).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), np.full((4, 4, 3), 255))


def test_palette_colours(tmp_path: Path) -> None:
    two_halves().convert("P", palette=Image.Palette.ADAPTIVE).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), np.asarray(two_halves()))


@pytest.mark.parametrize("suffix", ["png", "webp"])
def test_transparent_pictures_lie_on_white(tmp_path: Path, suffix: str) -> None:
    image = Image.new("RGBA", (4, 2), (0, 0, 0, 0))
    image.paste((255, 0, 0, 255), (2, 0, 4, 2))
    image.save(tmp_path / f"a.{suffix}", lossless=True)
    read = read_image(tmp_path / f"a.{suffix}")
    assert tuple(read[0, 0]) == (255, 255, 255)
    assert tuple(read[0, 3]) == RED


def test_palette_with_transparency(tmp_path: Path) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([0, 0, 0, 255, 0, 0])
    image.putpixel((1, 0), 1)
    image.save(tmp_path / "a.png", transparency=bytes([0, 255]))
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), [[(255, 255, 255), RED]])


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bit_gray_is_scaled(tmp_path: Path, suffix: str) -> None:
    values = np.array([[0, 257, 128 * 257, 65535, 300]], dtype=np.uint16)
    Image.fromarray(values).save(tmp_path / f"a.{suffix}")
    assert read_image(tmp_path / f"a.{suffix}")[0, :, 0].tolist() == [0, 1, 128, 255, 1]


def test_sixteen_bit_rgb_is_scaled(tmp_path: Path) -> None:
    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(b"\0" + struct.pack(">HHH", 65535, 128 * 257, 0)))
    data = b"\x89PNG\r\n\x1a\n" + header + pixels + chunk(b"IEND", b"")
    (tmp_path / "a.png").write_bytes(data)
    assert read_image(tmp_path / "a.png").tolist() == [[[255, 128, 0]]]


@pytest.mark.parametrize(
    "pixels", [np.full((1, 1), 70000, np.int32), np.full((1, 1), 0.5, np.float32)]
)
def test_pixels_without_a_range_are_refused(tmp_path: Path, pixels: np.ndarray) -> None:
    Image.fromarray(pixels).save(tmp_path / "a.tif")
    with pytest.raises(UserError, match=r"a\.tif.*no fixed range"):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize("size", [(1, 1), (1, 20000), (20000, 1)])
def test_extreme_shapes(tmp_path: Path, size: tuple[int, int]) -> None:
    Image.new("RGB", size, BLUE).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png").shape == (size[1], size[0], 3)


def noise_bytes(suffix: str) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format=suffix)
    return buffer.getvalue()


@pytest.mark.parametrize("suffix", ["JPEG", "PNG", "WEBP", "GIF"])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.5])
def test_truncated_files_are_named(tmp_path: Path, suffix: str, share: float) -> None:
    whole = noise_bytes(suffix)
    (tmp_path / "cut.jpg").write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(UserError, match=r"cut\.jpg"):
        read_image(tmp_path / "cut.jpg")


def test_damaged_bytes_never_raise_anything_else(tmp_path: Path) -> None:
    generator = np.random.default_rng(1)
    for suffix in ("JPEG", "PNG", "GIF", "TIFF", "BMP"):
        whole = np.frombuffer(noise_bytes(suffix), dtype=np.uint8)
        for _ in range(30):
            damaged = whole.copy()
            damaged[generator.integers(0, 200, 4)] = generator.integers(0, 256, 4)
            (tmp_path / "x").write_bytes(damaged.tobytes())
            with suppress(UserError):
                assert read_image(tmp_path / "x").ndim == 3


def test_text_named_jpg_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_text("not a picture")
    with pytest.raises(UserError, match=r"a\.jpg: not an image"):
        read_image(tmp_path / "a.jpg")


def test_postscript_is_never_opened(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 1 1\n")
    with pytest.raises(UserError, match="not an image"):
        read_image(tmp_path / "a.jpg")


def test_missing_file_and_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"gone\.jpg: no such image file"):
        read_image(tmp_path / "gone.jpg")
    with pytest.raises(UserError, match=tmp_path.name):
        read_image(tmp_path)


def test_bomb_is_refused_and_a_large_picture_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("L", (100, 30)).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2000)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_image(tmp_path / "a.png").shape == (30, 100, 3)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(UserError, match=r"a\.png: the image is too large"):
        read_image(tmp_path / "a.png")


def test_reading_never_writes(tmp_path: Path) -> None:
    file = tmp_path / "cut.jpg"
    file.write_bytes(noise_bytes("JPEG")[:2000])
    before = (file.read_bytes(), file.stat().st_mtime_ns)
    with pytest.raises(UserError):
        read_image(file)
    assert (file.read_bytes(), file.stat().st_mtime_ns) == before


def test_find_images(tmp_path: Path) -> None:
    (tmp_path / "b" / "c").mkdir(parents=True)
    (tmp_path / "folder.jpg").mkdir()
    names = ["z.PNG", "b/a.jpg", "b/c/d.webp"]
    for name in [*names, "notes.txt", "._hidden.jpg"]:
        (tmp_path / name).touch()
    assert find_images(tmp_path) == sorted(tmp_path / name for name in names)
    assert find_images(tmp_path / "notes.txt") == [tmp_path / "notes.txt"]


def test_find_images_without_any(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no pictures in this folder"):
        find_images(tmp_path)
    with pytest.raises(UserError, match="no such file or folder"):
        find_images(tmp_path / "gone")


@pytest.mark.parametrize("orientation", [1, 6])
def test_image_size_is_that_of_the_stored_pixels(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    for name in ("a.png", "a.jpg"):
        two_halves().save(tmp_path / name, exif=exif)
        assert image_size(tmp_path / name) == ImageSize(4, 8)


def test_image_size_reads_the_header_only(tmp_path: Path) -> None:
    (tmp_path / "cut.png").write_bytes(noise_bytes("PNG")[:60])
    assert image_size(tmp_path / "cut.png") == ImageSize(64, 64)
    (tmp_path / "cut.png").write_bytes(noise_bytes("PNG")[:20])
    with pytest.raises(UserError, match=r"cut\.png"):
        image_size(tmp_path / "cut.png")


def test_errors_inside_open_image_name_the_file(tmp_path: Path) -> None:
    two_halves().save(tmp_path / "a.png")
    problem = r"a\.png: the image cannot be read \(odd\)"
    with pytest.raises(UserError, match=problem), open_image(tmp_path / "a.png"):
        raise ValueError("odd")
    with pytest.raises(UserError, match=r"^as it is$"), open_image(tmp_path / "a.png"):
        raise UserError("as it is")


def test_files_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    for name in ("a.jpg", "b/c.png"):
        (tmp_path / name).touch()
    assert list_files(tmp_path) == {"a.jpg"}
    assert list_files(tmp_path / "gone") == set()
    assert list_files(tmp_path / "a.jpg") == set()
    names = ["a.jpg", "b", "b/c.png", "b/gone", "x/y", "nul\0"]
    assert missing_files(tmp_path, names) == ["b", "b/gone", "x/y", "nul\0"]


@pytest.mark.parametrize(
    ("name", "leaves"),
    [
        ("a.jpg", False),
        ("a/b..c.jpg", False),
        ("...", False),
        ("/a.jpg", True),
        ("\\a.jpg", True),
        ("..", True),
        ("a/../b", True),
        ("a\\..\\b", True),
        ("C:a", True),
    ],
)
def test_names_that_leave_their_folder(name: str, leaves: bool) -> None:
    assert leaves_folder(name) == leaves
