from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mnv2_dense.errors import UserError
from mnv2_dense.segmentation.color_masks import hold_colors
from tests.segmentation.test_contents import BLACK, GREEN, RED, save

TABLE = [BLACK, RED, GREEN]
WHITE = (255, 255, 255)


@pytest.mark.parametrize(
    ("pixels", "palette", "expected"),
    [
        ([[BLACK, RED]], None, True),
        ([[0, 1, 2]], [*BLACK, *RED, *GREEN], False),  # index and colour say the same
        ([[0, 1, 255]], [*BLACK, *RED, *GREEN, *[224, 224, 192] * 253], False),
        ([[0, 1]], [*BLACK, *GREEN, *RED], True),  # the palette has an order of its own
        ([[0, 1]], [*BLACK, 9, 9, 9], False),  # the palette says nothing
        ([[0, 1, 2]], None, False),
        ([[0, 0]], None, False),
    ],
)
def test_whether_masks_hold_a_tables_colours(
    tmp_path: Path, pixels: object, palette: list[int] | None, expected: bool
) -> None:
    mask = save(tmp_path / "a.png", pixels, palette)
    assert hold_colors([mask], TABLE, 255) is expected


@pytest.mark.parametrize(
    ("pixels", "palette", "expected"),
    [
        ([[0, 0]], [*BLACK, *GREEN, *RED], True),  # only the palette shows it
        ([[0, 0]], [*BLACK, *GREEN], True),
        ([[0, 0]], [*BLACK, *RED], False),
        ([[0, 1, 2]], [0] * 768, False),  # a palette that tells nothing apart
        ([[0, 1]], [each for gray in range(256) for each in [gray] * 3], False),
    ],
)
def test_palettes_decide(
    tmp_path: Path, pixels: object, palette: list[int], expected: bool
) -> None:
    mask = save(tmp_path / "a.png", pixels, palette)
    assert hold_colors([mask], TABLE, 255) is expected


def test_all_masks_are_looked_at(tmp_path: Path) -> None:
    """Gray masks have no palette: values tell, be it those of the last mask."""
    masks = [save(tmp_path / f"{number}.png", [[0, 0]]) for number in range(60)]
    assert not hold_colors(masks, [BLACK, WHITE], 255)
    assert not hold_colors([*masks, save(tmp_path / "b.png", [[0, 1]])], [BLACK, WHITE], 255)
    assert hold_colors([*masks, save(tmp_path / "w.png", [[0, 255]])], [BLACK, WHITE], 255)
    both = [save(tmp_path / "w.png", [[0, 255]]), save(tmp_path / "b.png", [[0, 1]])]
    assert not hold_colors(both, [BLACK, WHITE], 255)


def test_masks_of_one_bit_and_of_sixteen(tmp_path: Path) -> None:
    Image.fromarray(np.array([[False, True]])).save(tmp_path / "a.png")
    assert not hold_colors([tmp_path / "a.png"], TABLE, 255)
    Image.fromarray(np.array([[0, 1]], dtype=np.uint16)).save(tmp_path / "b.png")
    assert not hold_colors([tmp_path / "b.png"], TABLE, 255)


def test_colours_and_indices_in_one_set(tmp_path: Path) -> None:
    masks = [save(tmp_path / "a.png", [[BLACK, RED]]), save(tmp_path / "b.png", [[0, 1, 2]])]
    with pytest.raises(UserError, match=r"a\.png holds colours.*b\.png places in it"):
        hold_colors(masks, TABLE, 255)
    masks[1] = save(tmp_path / "b.png", [[0, 1]], [*BLACK, *GREEN])
    assert hold_colors(masks, TABLE, 255)


def test_a_palette_that_leaves_it_open(tmp_path: Path) -> None:
    mask = save(tmp_path / "a.png", [[0, 1]], [*WHITE, *BLACK, *RED, *GREEN])
    with pytest.raises(UserError, match=r"a\.png: its palette .* data\.classes .* data\.colors"):
        hold_colors([mask], TABLE, 255)


def test_masks_that_cannot_be_read_are_found_later(tmp_path: Path) -> None:
    good = save(tmp_path / "a.png", [[BLACK, RED]])
    assert hold_colors([tmp_path / "none.png", good], TABLE, 255)
    with pytest.raises(UserError, match=r"no mask can be used: .*none\.png"):
        hold_colors([tmp_path / "none.png"], TABLE, 255)
