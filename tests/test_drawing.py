from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mnv2_dense.drawing import GAP, READABLE_SIDE, Picture, class_palette, enlarge, side_by_side


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
