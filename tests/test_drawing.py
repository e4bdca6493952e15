import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mnv2_dense.drawing import (
    GAP,
    READABLE_SIDE,
    Picture,
    class_palette,
    encode_label_map,
    enlarge,
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
