import struct
import zlib
from contextlib import suppress
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mnv2_dense.errors import UserError
from mnv2_dense.segmentation.masks import Color, MaskRule, read_mask, size_problem
from mnv2_dense.structures import IGNORE_INDEX, ImageSize

VOC = MaskRule(21)
RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
COLOURED = MaskRule(3, colors=(BLUE, RED, GREEN), ignore_color=WHITE)
LABELS = np.array([[0, 1, 20], [255, 7, 0]], dtype=np.uint8)
PICTURE = np.array([[BLUE, RED], [GREEN, WHITE]], dtype=np.uint8)


def save_png(path: Path, width: int, bits: int, rows: bytes) -> None:
    """Writes gray of few bits, which Pillow itself does not write."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, 1, bits, 0, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(b"\0" + rows))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + pixels + chunk(b"IEND", b""))


def palette_image(labels: np.ndarray) -> Image.Image:
    image = Image.fromarray(labels)
    image.putpalette(np.random.default_rng(0).integers(0, 256, 768).tolist())
    assert image.mode == "P"
    return image


@pytest.mark.parametrize(
    ("mode", "suffix"), [*product("LP", ["png", "tif", "bmp"]), ("I;16", "png"), ("I", "tif")]
)
def test_indices_come_back_whatever_the_mode(tmp_path: Path, mode: str, suffix: str) -> None:
    values = np.arange(256, dtype=np.uint8).reshape(8, 32)
    wide = {"I;16": np.uint16, "I": np.int32}.get(mode, np.uint8)
    image = palette_image(values) if mode == "P" else Image.fromarray(values.astype(wide))
    image.save(tmp_path / f"a.{suffix}")
    label_map = read_mask(tmp_path / f"a.{suffix}", MaskRule(255))
    assert (label_map.dtype, label_map.flags.writeable) == (np.uint8, True)
    np.testing.assert_array_equal(label_map, values)


def test_palette_colours_do_not_matter(tmp_path: Path) -> None:
    image = palette_image(LABELS)
    image.putpalette([9, 9, 9] * 256)  # All alike: only the indices tell them apart.
    image.save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "a.png", VOC), LABELS)
    image.save(tmp_path / "a.png", transparency=1)
    np.testing.assert_array_equal(read_mask(tmp_path / "a.png", VOC), LABELS)


@pytest.mark.parametrize("colors", [2, 4, 16, 256])
def test_palettes_of_few_bits(tmp_path: Path, colors: int) -> None:
    labels = (np.arange(12, dtype=np.uint8) % min(colors, 9)).reshape(3, 4)
    image = Image.fromarray(labels)
    image.putpalette(list(range(3 * colors)) if colors < 86 else [0, 7, 3] * colors)
    image.save(tmp_path / "a.png", bits=colors.bit_length() - 1)
    np.testing.assert_array_equal(read_mask(tmp_path / "a.png", VOC), labels)


@pytest.mark.parametrize(
    ("bits", "rows", "labels"),
    [
        (1, bytes([0b00011011]), [0, 0, 0, 1, 1, 0, 1, 1]),
        (2, bytes([0b00_01_10_11]), [0, 1, 2, 3]),
        (4, bytes([0x0F, 0x2A]), [0, 15, 2, 10]),
        (8, bytes([0, 20, 255]), [0, 20, 255]),
        (16, bytes([0, 20, 0, 255]), [20, 255]),
    ],
)
def test_gray_values_are_not_stretched(
    tmp_path: Path, bits: int, rows: bytes, labels: list[int]
) -> None:
    save_png(tmp_path / "a.png", len(labels), bits, rows)
    assert read_mask(tmp_path / "a.png", VOC).tolist() == [labels]


def test_void_is_255_whatever_the_file_says(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 10, 11]], np.uint8)).save(tmp_path / "camvid.png")
    label_map = read_mask(tmp_path / "camvid.png", MaskRule(11, ignore_index=11))
    assert label_map.tolist() == [[0, 10, 255]]
    Image.fromarray(np.array([[255]], np.uint8)).save(tmp_path / "b.png")
    with pytest.raises(UserError, match=r"nor void \(11\): 255;"):
        read_mask(tmp_path / "b.png", MaskRule(11, ignore_index=11))


@pytest.mark.parametrize(
    ("values", "listed"),
    [
        (np.array([[0, 21, 255, 21]], np.uint8), "21;"),
        (np.array([[147, 220, 0]], np.uint8), "147, 220;"),
        (np.array([[21, 22, 23, 24, 25, 26, 27]], np.uint8), "21, 22, 23, 24, 25 and 2 more;"),
        (np.array([[3, 300, 65535]], np.uint16), "300, 65535;"),
        (np.array([[-1, 255, 2**30]], np.int32), f"-1, {2**30};"),
    ],
)
def test_values_that_are_no_class_are_named(
    tmp_path: Path, values: np.ndarray, listed: str
) -> None:
    Image.fromarray(values).save(tmp_path / "a.tif")
    with pytest.raises(UserError) as caught:
        read_mask(tmp_path / "a.tif", VOC)
    assert str(tmp_path / "a.tif") in str(caught.value)
    assert f"class (0 to 20) nor void (255): {listed}" in str(caught.value)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "CMYK"])
def test_colours_without_a_rule_are_refused(tmp_path: Path, mode: str) -> None:
    file = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    Image.fromarray(PICTURE).convert(mode).save(file)
    with pytest.raises(UserError, match=r"a\.\w+: the mask holds colours.* data\.colors") as caught:
        read_mask(file, VOC)
    assert ("one of its three equal channels" in str(caught.value)) == (mode == "LA")


def test_colours_are_mapped_where_the_rule_has_them(tmp_path: Path) -> None:
    expected = [[0, 1], [2, 255]]
    Image.fromarray(PICTURE).save(tmp_path / "rgb.png")
    assert read_mask(tmp_path / "rgb.png", COLOURED).tolist() == expected
    alpha = np.dstack([PICTURE, [[255, 0], [7, 255]]]).astype(np.uint8)
    Image.fromarray(alpha).save(tmp_path / "rgba.png")
    assert read_mask(tmp_path / "rgba.png", COLOURED).tolist() == expected
    Image.fromarray(PICTURE).convert("CMYK").save(tmp_path / "cmyk.tif")
    assert read_mask(tmp_path / "cmyk.tif", COLOURED).tolist() == expected
    gray = Image.fromarray(np.array([[0, 80]], np.uint8)).convert("LA")
    gray.save(tmp_path / "la.png")
    rule = MaskRule(2, colors=((80, 80, 80), (0, 0, 0)))
    assert read_mask(tmp_path / "la.png", rule).tolist() == [[1, 0]]


COLORS = st.lists(st.tuples(*[st.integers(0, 255)] * 3), min_size=2, max_size=30, unique=True)


@settings(max_examples=50)
@given(COLORS, st.integers(0, 2**32 - 1))
def test_every_colour_finds_its_class(
    tmp_path_factory: pytest.TempPathFactory, colors: list[Color], seed: int
) -> None:
    labels = np.random.default_rng(seed).integers(0, len(colors), (3, 5))
    file = tmp_path_factory.getbasetemp() / "coloured.png"
    Image.fromarray(np.array(colors, np.uint8)[labels]).save(file)
    *classes, void = colors
    rule = MaskRule(len(classes), colors=tuple(classes), ignore_color=void)
    expected = np.where(labels == len(classes), 255, labels)
    np.testing.assert_array_equal(read_mask(file, rule), expected)


def test_where_colours_are_given_a_palette_mask_is_read_by_its_colours(tmp_path: Path) -> None:
    """Programs that save a coloured mask with a palette number the colours as they like."""
    assert COLOURED.colors is not None
    pixels = np.array([[COLOURED.colors[2], COLOURED.colors[0], COLOURED.colors[1]]], np.uint8)
    picture = Image.fromarray(pixels).convert("P", palette=Image.Palette.ADAPTIVE)
    assert np.asarray(picture).tolist() != [[2, 0, 1]]
    picture.save(tmp_path / "a.png")
    assert read_mask(tmp_path / "a.png", COLOURED).tolist() == [[2, 0, 1]]


@pytest.mark.parametrize("mode", ["L", "1"])
def test_masks_of_0_and_255_are_read_by_colours(tmp_path: Path, mode: str) -> None:
    values = np.array([[0, 255], [255, 0]], np.uint8)
    Image.fromarray(values).convert(mode).save(tmp_path / "a.png")
    rule = MaskRule(2, colors=((0, 0, 0), (255, 255, 255)))
    assert read_mask(tmp_path / "a.png", rule).tolist() == [[0, 1], [1, 0]]


def test_colours_of_no_class_are_named_with_their_pixels(tmp_path: Path) -> None:
    pixels = np.zeros((4, 5, 3), np.uint8)
    pixels[:] = RED
    pixels[0, 0], pixels[1, :3] = (1, 2, 3), WHITE
    Image.fromarray(pixels).save(tmp_path / "a.png")
    with pytest.raises(
        UserError, match=r"a\.png: .*: \(255, 255, 255\) at 3 pixels, \(1, 2, 3\) at 1 pixels; "
    ):
        read_mask(tmp_path / "a.png", COLOURED._replace(ignore_color=None))


@pytest.mark.parametrize("suffix", ["jpg", "webp", "gif", "ppm"])
def test_formats_that_change_values_are_refused(tmp_path: Path, suffix: str) -> None:
    Image.fromarray(LABELS).save(tmp_path / f"a.{suffix}")
    with pytest.raises(UserError, match=rf"a\.{suffix}: \w+ does not keep mask values"):
        read_mask(tmp_path / f"a.{suffix}", VOC)


def test_missing_masks_and_no_masks_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"gone\.png: no such image file"):
        read_mask(tmp_path / "gone.png", VOC)
    (tmp_path / "a.png").write_text("no mask")
    with pytest.raises(UserError, match=r"a\.png: not an image"):
        read_mask(tmp_path / "a.png", VOC)


@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.9])
def test_truncated_masks_are_named(tmp_path: Path, share: float) -> None:
    noise = np.random.default_rng(0).integers(0, 21, (64, 64), dtype=np.uint8)
    palette_image(noise).save(tmp_path / "cut.png")
    whole = (tmp_path / "cut.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(UserError, match=r"cut\.png"):
        read_mask(tmp_path / "cut.png", VOC)


def test_damaged_bytes_never_raise_anything_else(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 21, (16, 16), dtype=np.uint8)
    generator = np.random.default_rng(1)
    for suffix in ("png", "tif", "bmp"):
        palette_image(noise).save(tmp_path / f"whole.{suffix}")
        whole = np.frombuffer((tmp_path / f"whole.{suffix}").read_bytes(), dtype=np.uint8)
        for _ in range(50):
            damaged = whole.copy()
            damaged[generator.integers(0, 200, 4)] = generator.integers(0, 256, 4)
            (tmp_path / "x").write_bytes(damaged.tobytes())
            with suppress(UserError):
                assert read_mask(tmp_path / "x", VOC).ndim == 2


def test_a_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("L", (100, 30)).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(UserError, match=r"a\.png: the image is too large"):
        read_mask(tmp_path / "a.png", VOC)


def test_exif_rotation_is_ignored(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    palette_image(LABELS).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(read_mask(tmp_path / "a.png", VOC), LABELS)


@pytest.mark.parametrize("size", [(1, 1), (1, 20000), (20000, 1)])
def test_extreme_shapes(tmp_path: Path, size: tuple[int, int]) -> None:
    labels = np.arange(size[0] * size[1], dtype=np.int64).reshape(size) % 21
    palette_image(labels.astype(np.uint8)).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "a.png", VOC), labels)


def test_size_problem() -> None:
    assert size_problem(ImageSize(3, 4), ImageSize(3, 4)) is None
    assert size_problem(ImageSize(3, 4), ImageSize(5, 6)) == (
        "the mask is 6 x 5 pixels, its picture 4 x 3"
    )
    assert "4 x 3 (swapped" in str(size_problem(ImageSize(3, 4), ImageSize(4, 3)))


def test_real_voc_masks(shared: Path) -> None:
    files = sorted((shared / "data" / "voc" / "VOC2012" / "SegmentationClass").glob("*.png"))
    assert len(files) == 140
    pixels = np.zeros(256, dtype=np.int64)
    for file in files:
        pixels += np.bincount(read_mask(file, VOC).reshape(-1), minlength=256)
    assert np.flatnonzero(pixels).tolist() == [*range(21), 255]
    assert pixels.argmax() == 0
    assert 0.03 < pixels[255] / pixels.sum() < 0.08  # the lines around things


def test_label_ids_become_classes(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(np.array([[0, 1, 2, 255]], np.uint8)).save(path)
    rule = MaskRule(2, labels=(IGNORE_INDEX, 1, 0))
    assert read_mask(path, rule).tolist() == [[IGNORE_INDEX, 1, 0, IGNORE_INDEX]]
    with pytest.raises(UserError, match=r"a\.png: mask values that are no label ids \(0 to 1\): 2"):
        read_mask(path, MaskRule(2, labels=(0, 1)))
