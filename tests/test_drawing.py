import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mnv2_dense.drawing import (
    GAP,
    READABLE_SIDE,
    Picture,
    add_title,
    class_palette,
    encode_label_map,
    enlarge,
    grid,
    hatch,
    shrink,
    side_by_side,
)


def gray(height: int, width: int) -> Picture:
    return np.full((height, width, 3), 128, np.uint8)


def test_pictures_stand_side_by_side() -> None:
    both = side_by_side(gray(4, 5), np.zeros((4, 3, 3), np.uint8))
    assert both.shape == (4, 5 + GAP + 3, 3)
    assert both.dtype == np.uint8
    assert (both[:, :5] == 128).all()
    assert (both[:, 5 : 5 + GAP] == 255).all()
    assert (both[:, 5 + GAP :] == 0).all()


def test_white_is_added_below_the_shorter_picture() -> None:
    for left, right in ((gray(2, 3), gray(6, 4)), (gray(6, 3), gray(2, 4))):
        both = side_by_side(left, right)
        assert both.shape == (6, 3 + GAP + 4, 3)
        assert (both[: len(left), :3] == 128).all()
        assert (both[len(left) :, :3] == 255).all()
        assert (both[: len(right), 3 + GAP :] == 128).all()
        assert (both[len(right) :, 3 + GAP :] == 255).all()


def test_small_pictures_are_enlarged_by_whole_pixels() -> None:
    image = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    enlarged, factor = enlarge(image)
    assert factor == 160
    assert enlarged.shape == (320, 320, 3)
    assert (enlarged[::160, ::160] == image).all()
    assert (enlarged[159::160, 159::160] == image).all()


@pytest.mark.parametrize("size", [(10, READABLE_SIDE + 1), (READABLE_SIDE, 1), (500, 400)])
def test_large_pictures_stay_as_they_are(size: tuple[int, int]) -> None:
    enlarged, factor = enlarge(gray(*size))
    assert factor == 1
    assert enlarged.shape == (*size, 3)


def test_a_side_to_enlarge_to_is_reached_by_whole_pixels() -> None:
    enlarged, factor = enlarge(gray(40, 96), 480)
    assert (factor, enlarged.shape) == (5, (200, 480, 3))


def test_large_pictures_are_shrunk_by_averages_of_blocks() -> None:
    image = np.zeros((4, 6, 3), np.uint8)
    image[:2, :2] = [[[0, 10, 20]], [[40, 10, 20]]]
    shrunk, divisor = shrink(image, 3)
    assert (divisor, shrunk.shape) == (2, (2, 3, 3))
    assert shrunk[0, 0].tolist() == [20, 10, 20]
    assert not shrunk[1:].any()


@pytest.mark.parametrize(
    ("size", "divisor", "expected"),
    [((3, 2), 1, (3, 2)), ((1, 20), 7, (1, 3)), ((5, 4), 2, (3, 2)), ((1, 1), 1, (1, 1))],
)
def test_pictures_of_any_size_are_shrunk(
    size: tuple[int, int], divisor: int, expected: tuple[int, int]
) -> None:
    shrunk, found = shrink(gray(*size), 3)
    assert (found, shrunk.shape) == (divisor, (*expected, 3))
    assert (shrunk == 128).all()


def test_stripes_lie_where_they_are_asked_for_on_a_copy() -> None:
    picture, where = gray(30, 40), np.zeros((30, 40), bool)
    where[:, 20:] = True
    drawn = hatch(picture, where)
    assert (picture == 128).all()
    assert (drawn[:, :20] == 128).all()
    assert set(np.unique(drawn[:, 20:])) == {0, 128, 255}


def test_a_title_stands_above_a_picture_that_stays_as_it_is() -> None:
    titled = add_title(gray(30, 200), "36, 320x320")
    top = len(titled) - 30
    assert titled.shape[1] == 200
    assert (titled[top:] == 128).all()
    assert (titled[:top] < 100).any()


def test_a_narrow_picture_is_widened_for_its_title_and_a_title_has_an_end() -> None:
    short, long, endless = (add_title(gray(9, 5), "w\n" * n) for n in (1, 80, 1_000_000))
    assert 5 < short.shape[1] < long.shape[1] < endless.shape[1] < 4000
    assert (short[-9:, :5] == 128).all()
    assert (short[-9:, 5:] == 255).all()


@pytest.mark.parametrize(("count", "rows", "columns"), [(1, 1, 1), (3, 2, 2), (7, 3, 3)])
def test_a_grid_has_cells_of_the_largest_picture(count: int, rows: int, columns: int) -> None:
    pictures = [np.full((4 + i, 9 - i, 3), i, np.uint8) for i in range(count)]
    sheet = grid(pictures)
    height, width = 4 + count - 1 + GAP, 9 + GAP
    assert sheet.shape == (rows * height, columns * width, 3)
    for place, picture in enumerate(pictures):
        top, left = place // columns * height, place % columns * width
        cell = sheet[top : top + height, left : left + width]
        assert np.array_equal(cell[: 4 + place, : 9 - place], picture)
        assert (cell[4 + place :] == 255).all()
        assert (cell[:, 9 - place :] == 255).all()


def test_palette_is_that_of_voc_masks() -> None:
    palette = class_palette()
    assert len(set(palette)) == len(palette) == 256
    assert palette[:4] == [(0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0)]
    # By hand: 15 (person) is 001 111, so the low bits light all channels, the next adds red;
    # 20 (tv/monitor) is 010 100 and 255, void, 11 111 111.
    assert palette[15] == (192, 128, 128)
    assert palette[20] == (0, 64, 128)
    assert palette[255] == (224, 224, 192)


def test_palette_is_that_of_a_real_voc_mask(shared: Path) -> None:
    mask = next((shared / "data").rglob("SegmentationClass/*.png"))
    with Image.open(mask) as picture:
        values = picture.getpalette()
    assert values == [value for color in class_palette() for value in color]


def reload(label_map: np.ndarray) -> Image.Image:
    file = io.BytesIO()
    encode_label_map(label_map).save(file, "PNG")
    return Image.open(file)


def test_labels_come_back_from_the_file_as_they_were() -> None:
    label_map = np.arange(256, dtype=np.uint8).reshape(8, 32)
    picture = reload(label_map)
    assert picture.mode == "P"
    assert (np.asarray(picture) == label_map).all()
    colors = np.asarray(picture.convert("RGB")).reshape(-1, 3)
    assert [tuple(color) for color in colors.tolist()] == class_palette()


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1)])
def test_label_maps_of_any_size_are_encoded(size: tuple[int, int]) -> None:
    label_map = np.full(size, 7, np.uint8)
    assert (np.asarray(reload(label_map)) == label_map).all()
    assert (np.asarray(reload(label_map.T)) == label_map.T).all()


def test_the_palette_is_that_of_vocs_own_files(shared: Path) -> None:
    folder = shared / "data" / "voc" / "VOC2012" / "SegmentationClass"
    with Image.open(min(folder.glob("*.png"))) as mask:
        assert mask.getpalette() == encode_label_map(np.asarray(mask)).getpalette()
