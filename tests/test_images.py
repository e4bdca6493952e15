import io
import os
import struct
import warnings
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mnv2_dense.errors import UserError
from mnv2_dense.images import image_size, open_image, read_image
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


UPRIGHT: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda stored: stored,
    2: np.fliplr,
    3: lambda stored: np.rot90(stored, 2),
    4: np.flipud,
    5: lambda stored: np.fliplr(np.rot90(stored, -1)),
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: np.fliplr(np.rot90(stored)),
    8: np.rot90,
}
"""What the EXIF standard asks of a viewer, by orientation."""


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("orientation", UPRIGHT)
def test_every_exif_orientation(tmp_path: Path, suffix: str, orientation: int) -> None:
    corners = np.random.default_rng(3).integers(0, 2, (2, 3, 3)) * 255
    stored = np.kron(corners, np.ones((16, 16, 1))).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = tmp_path / f"a.{suffix}"
    options: dict[str, Any] = {"lossless": True, "subsampling": 0}
    if suffix == "jpg":
        options["quality"] = 100
    Image.fromarray(stored).save(file, exif=exif, **options)
    expected = UPRIGHT[orientation](stored)
    np.testing.assert_allclose(read_image(file), stored, atol=5)
    np.testing.assert_allclose(read_image(file, upright=True), expected, atol=5)
    assert image_size(file) == stored.shape[:2]
    assert image_size(file, upright=True) == expected.shape[:2]


EXIF = b"Exif\0\0II*\0\x08\0\0\0\x01\0"
ODD_EXIF = {
    "noise": b"Exif\0\0" + bytes(range(100, 200)),
    "short": b"Exif\0\0II",
    "orientation 99": EXIF + struct.pack("<HHIII", 0x0112, 3, 1, 99, 0),
    "orientation in text": EXIF + struct.pack("<HHI4sI", 0x0112, 2, 4, b"6ab\0", 0),
    "endless": EXIF + struct.pack("<HHIII", 0x0112, 3, 2**32 - 1, 6, 8),
}


@pytest.mark.parametrize("kind", ODD_EXIF)
def test_odd_exif_data_turn_nothing(tmp_path: Path, kind: str) -> None:
    buffer = io.BytesIO()
    two_halves(16, 8).save(buffer, "JPEG")
    data, exif = buffer.getvalue(), ODD_EXIF[kind]
    marker = b"\xff\xe1" + struct.pack(">H", len(exif) + 2)
    (tmp_path / "a.jpg").write_bytes(data[:2] + marker + exif + data[2:])
    assert read_image(tmp_path / "a.jpg", upright=True).shape == (8, 16, 3)
    assert image_size(tmp_path / "a.jpg", upright=True) == ImageSize(8, 16)


def test_odd_exif_data_of_a_png_turn_nothing(tmp_path: Path) -> None:
    two_halves().save(tmp_path / "a.png", exif=b"Exif\0\0garbage")
    np.testing.assert_array_equal(
        read_image(tmp_path / "a.png", upright=True), np.asarray(two_halves())
    )


def as_rgb(cmyk: np.ndarray) -> np.ndarray:
    """What ink of 0 to 255 leaves of white paper: each colour covered, then black over all."""
    ink = cmyk / 255.0
    return 255 * (1 - ink[..., :3]) * (1 - ink[..., 3:])


def inks() -> np.ndarray:
    """CMYK values [64, 64, 4] that change slowly, so that a JPEG keeps them."""
    down, across = np.mgrid[:64, :64]
    return np.dstack([3 * across, 3 * down, down + across, 0 * down + 40]).astype(np.uint8)


@pytest.mark.parametrize("suffix", ["jpg", "tif"])
def test_cmyk(tmp_path: Path, suffix: str) -> None:
    Image.fromarray(inks(), "CMYK").save(tmp_path / f"a.{suffix}", quality=100)
    np.testing.assert_allclose(read_image(tmp_path / f"a.{suffix}"), as_rgb(inks()), atol=3)


def test_cmyk_jpeg_as_photoshop_writes_it(tmp_path: Path) -> None:
    """YCCK: cyan, magenta and yellow stand in the file as the luma and chroma of an RGB picture."""
    luma = np.asarray(Image.fromarray(inks()[..., :3].copy()).convert("YCbCr"))
    file = tmp_path / "a.jpg"
    Image.fromarray(np.dstack([255 - luma, inks()[..., 3]]), "CMYK").save(file, quality=100)
    data = bytearray(file.read_bytes())
    data[data.index(b"Adobe") + 11] = 2  # the marker's colour transform, none before
    file.write_bytes(data)
    np.testing.assert_allclose(read_image(file), as_rgb(inks()), atol=5)


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


def png(pixels: np.ndarray, color_type: int, transparent: bytes = b"") -> bytes:
    """A PNG of 16 bits per channel, of pixels [H, W] or [H, W, C]."""

    def chunk(name: bytes, data: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(name + data))
        return struct.pack(">I", len(data)) + name + data + checksum

    height, width = pixels.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, color_type, 0, 0, 0))
    key = chunk(b"tRNS", transparent) if transparent else b""
    data = chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + header + key + data


def tiff(
    pixels: np.ndarray, order: str = "<", meaning: int = 2, *, alpha: bool = False, planes: int = 1
) -> bytes:
    """An uncompressed TIFF of 16 bits per channel; `meaning` 0: white is zero, 1: gray, 2: RGB."""
    height, width, channels = pixels.reshape(*pixels.shape[:2], -1).shape
    start = 256
    plane = height * width * 2 * (1 if planes == 2 else channels)
    starts = [start + plane * number for number in range(channels if planes == 2 else 1)]
    entries: dict[int, list[int]] = {
        **{256: [width], 257: [height], 258: [16] * channels, 259: [1], 262: [meaning]},
        **{273: starts, 277: [channels], 278: [height], 279: [plane] * len(starts)},
        **({284: [planes]} | ({338: [2]} if alpha else {})),
    }
    table, rest = struct.pack(order + "H", len(entries)), b""
    for tag, values in entries.items():
        packed = struct.pack(f"{order}{len(values)}H", *values)
        if len(packed) > 4:
            place = 8 + 2 + 12 * len(entries) + 4 + len(rest)
            packed, rest = struct.pack(order + "I", place), rest + packed
        table += struct.pack(order + "HHI", tag, 3, len(values)) + packed.ljust(4, b"\0")
    magic = (b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, 8)
    stored = np.moveaxis(pixels, -1, 0) if planes == 2 else pixels
    head = (magic + table + struct.pack(order + "I", 0) + rest).ljust(start, b"\0")
    return head + stored.astype(order + "u2").tobytes()


def deep(channels: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 65536, (9, 11, channels)).astype(np.uint16)


def shown(pixels: np.ndarray) -> np.ndarray:
    """Gray or colours of 16 bits, with or without alpha, as 8-bit RGB over white, not rounded."""
    values = pixels / 65535
    colors, alpha = values, np.ones((*pixels.shape[:2], 1))
    if pixels.shape[2] in (2, 4):
        colors, alpha = values[..., :-1], values[..., -1:]
    return np.broadcast_to(255 * (colors * alpha + 1 - alpha), (*pixels.shape[:2], 3))


SIXTEEN_BITS = {
    "gray PNG": (png(deep(1), 0), deep(1)),
    "gray PNG with alpha": (png(deep(2), 4), deep(2)),
    "RGB PNG": (png(deep(3), 2), deep(3)),
    "RGBA PNG": (png(deep(4), 6), deep(4)),
    "gray TIFF": (tiff(deep(1), meaning=1), deep(1)),
    "gray TIFF, big-endian": (tiff(deep(1), ">", meaning=1), deep(1)),
    "gray TIFF, white is zero": (tiff(deep(1), meaning=0), 65535 - deep(1)),
    "RGB TIFF": (tiff(deep(3)), deep(3)),
    "RGB TIFF, big-endian": (tiff(deep(3), ">"), deep(3)),
    "RGBA TIFF": (tiff(deep(4), alpha=True), deep(4)),
    "PPM": (b"P6 11 9 65535\n" + deep(3).astype(">u2").tobytes(), deep(3)),
    "PGM": (b"P5 11 9 65535\n" + deep(1).astype(">u2").tobytes(), deep(1)),
}


@pytest.mark.parametrize("kind", SIXTEEN_BITS)
def test_sixteen_bits_are_right_to_one_step_of_eight(tmp_path: Path, kind: str) -> None:
    data, pixels = SIXTEEN_BITS[kind]
    (tmp_path / "a").write_bytes(data)
    # Colour and alpha may each be cut by almost one step.
    error = np.abs(read_image(tmp_path / "a") - shown(pixels)).max()
    assert error < (2 if pixels.shape[2] in (2, 4) else 1)


def test_transparent_value_of_sixteen_bit_gray(tmp_path: Path) -> None:
    pixels = np.array([[1234, 1235, 300]], np.uint16)
    (tmp_path / "a.png").write_bytes(png(pixels, 0, struct.pack(">H", 1234)))
    assert read_image(tmp_path / "a.png")[0, :, 0].tolist() == [255, 5, 1]


def test_sixteen_bit_colours_in_planes_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(tiff(deep(3), planes=2))
    with pytest.raises(UserError, match=r"a\.tif.*separate planes.*save it as PNG"):
        read_image(tmp_path / "a.tif")


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


def test_a_cut_that_verify_passes_is_found(tmp_path: Path) -> None:
    whole = noise_bytes("JPEG")
    for missing in (1, 2, 40, len(whole) // 3):
        (tmp_path / "cut.jpg").write_bytes(whole[:-missing])
        with Image.open(tmp_path / "cut.jpg") as image:
            image.verify()
        with pytest.raises(UserError, match=r"cut\.jpg"):
            read_image(tmp_path / "cut.jpg")


@pytest.mark.parametrize("suffix", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP"])
def test_what_follows_a_picture_is_ignored(tmp_path: Path, suffix: str) -> None:
    for name, end in (("a", b""), ("b.jpg", b"anything" * 100)):  # a wrong suffix, too
        (tmp_path / name).write_bytes(noise_bytes(suffix) + end)
    np.testing.assert_array_equal(read_image(tmp_path / "a"), read_image(tmp_path / "b.jpg"))


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


@pytest.mark.parametrize("suffix", ["PNG", "GIF", "BMP"])
def test_a_real_bomb_is_refused_by_its_header(tmp_path: Path, suffix: str) -> None:
    """A file of some hundred bytes that would decode to gigabytes."""
    buffer = io.BytesIO()
    Image.new("L", (5, 5)).save(buffer, suffix)
    data = bytearray(buffer.getvalue())
    if suffix == "PNG":
        data[16:24] = struct.pack(">II", 60000, 60000)
        data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    elif suffix == "GIF":
        data[6:10] = struct.pack("<HH", 65535, 65535)
    else:
        data[18:26] = struct.pack("<ii", 60000, 60000)
    (tmp_path / "a.png").write_bytes(data)
    for read in (read_image, image_size):
        with pytest.raises(UserError, match=r"a\.png: the image is too large"):
            read(tmp_path / "a.png")


def test_reading_never_writes(tmp_path: Path) -> None:
    file = tmp_path / "cut.jpg"
    file.write_bytes(noise_bytes("JPEG")[:2000])
    before = (file.read_bytes(), file.stat().st_mtime_ns)
    with pytest.raises(UserError):
        read_image(file)
    assert (file.read_bytes(), file.stat().st_mtime_ns) == before


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


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_what_is_no_file_is_not_waited_for(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "7.jpg"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir()
    with pytest.raises(UserError, match=r"7\.jpg: no file but a folder, pipe or device"):
        read_image(path)
