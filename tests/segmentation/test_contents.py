from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mnv2_dense.errors import UserError
from mnv2_dense.segmentation.contents import (
    count_classes,
    describe_colors,
    find_contents,
)

BLACK, RED, GREEN = (0, 0, 0), (128, 0, 0), (0, 128, 0)


def save(path: Path, pixels: object, palette: list[int] | None = None) -> Path:
    image = Image.fromarray(np.array(pixels, dtype=np.uint8))
    if palette is not None:
        image.putpalette(palette)
    image.save(path)
    return path


def test_values_and_colours_of_all_masks(tmp_path: Path) -> None:
    masks = [
        save(tmp_path / "a.png", [[0, 0, 255]]),
        save(tmp_path / "b.png", [[0, 7]], [*BLACK, *RED] * 8),
        save(tmp_path / "c.png", [[BLACK, RED], [RED, RED]]),
    ]
    contents = find_contents(masks)
    assert contents.values == {0: 3, 7: 1, 255: 1}
    assert contents.colors == {BLACK: 1, RED: 3}


def test_masks_that_cannot_be_read_are_found_later(tmp_path: Path) -> None:
    good = save(tmp_path / "a.png", [[0, 1]])
    assert find_contents([tmp_path / "none.png", good]).values == {0: 1, 1: 1}
    with pytest.raises(UserError, match=r"no mask can be used: .*none\.png: no such image file"):
        find_contents([tmp_path / "none.png"])


def test_smoothed_masks_are_no_masks(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3))
    with pytest.raises(UserError, match=r"noise\.png: a mask with so many values"):
        find_contents([save(tmp_path / "noise.png", noise)])


def test_the_highest_value_counts() -> None:
    assert count_classes([0, 1, 255], 255) == 2
    assert count_classes([5, 0, 3], 255) == 6
    assert count_classes([254, 0, 1], 254) == 2


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([0, 255], r"values 0, 255 alone.*data\.colors=\[\[0,0,0\],\[255,255,255\]\]"),
        ([0], "fewer than two classes"),
        ([0, 147, 220], r"0, 147, 220: not those of classes.*data\.num_classes=N"),
        ([0, 1, 4000], "not those of classes"),
        ([-3, 1], "not those of classes"),
    ],
)
def test_values_that_are_no_classes(values: list[int], words: str) -> None:
    with pytest.raises(UserError, match=words):
        count_classes(values, 255)


def test_colours_are_listed_ready_to_be_given() -> None:
    text = describe_colors({RED: 1, BLACK: 3}, Path("masks"))
    assert "'data.colors=[[0,0,0],[128,0,0]]' (of all pixels: 75.00%, 25.00%)" in text
