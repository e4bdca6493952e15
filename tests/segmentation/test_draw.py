import numpy as np
import pytest

from mnv2_dense.drawing import GAP, Picture, class_palette
from mnv2_dense.segmentation.draw import (
    class_shares,
    draw_label_map,
)

NAMES = ("background", "größter Hund", "sofa")


def gray(height: int = 60, width: int = 80) -> Picture:
    return np.full((height, width, 3), 128, np.uint8)


def halves(height: int = 60, width: int = 80) -> np.ndarray:
    """Class 0 left, class 1 right."""
    label_map = np.zeros((height, width), np.uint8)
    label_map[:, width // 2 :] = 1
    return label_map


def test_shares_leave_void_out_and_come_largest_first() -> None:
    label_map = np.array([[0, 2, 2, 2], [255, 255, 255, 255]], np.uint8)
    shares = class_shares(label_map, NAMES)
    assert list(shares.items()) == [("sofa", 0.75), ("background", 0.25)]
    assert class_shares(np.full((3, 3), 255, np.uint8), NAMES) == {}
    # Equal shares stand in the order of the classes.
    assert list(class_shares(np.array([[2, 1, 0]], np.uint8), NAMES)) == list(NAMES)


def test_a_label_without_a_name_is_refused() -> None:
    label_map = np.array([[3, 0]], np.uint8)
    with pytest.raises(ValueError, match="label 3 in a label map of 3 classes"):
        class_shares(label_map, NAMES)
    with pytest.raises(ValueError, match="label 3"):
        draw_label_map(gray(1, 2), label_map, NAMES)


def test_classes_tint_a_copy_and_void_stays_as_it_is() -> None:
    picture, label_map = gray(), halves()
    label_map[:20] = 255
    drawn = draw_label_map(picture, label_map, NAMES, opacity=0.5)
    assert drawn.dtype == np.uint8
    assert (picture == 128).all()
    assert (drawn[:20, :80] == 128).all()
    assert tuple(drawn[40, 10]) == (128, 128, 128)  # background is not tinted
    assert tuple(drawn[40, 70]) == (128, 64, 64)  # half of (128, 0, 0)
    assert tuple(drawn[40, 39]) == (255, 255, 255)  # where they meet
    assert tuple(drawn[40, 38]) == (128, 128, 128)
    assert tuple(drawn[40, 40]) == (128, 64, 64)
    road = draw_label_map(picture, label_map, ("road", *NAMES[1:]))
    assert tuple(road[40, 10]) == (64, 64, 64)  # half of black: only "background" is spared


def test_opacity() -> None:
    label_map = np.ones((60, 80), np.uint8)
    faint = draw_label_map(gray(), label_map, NAMES, opacity=0.0)
    assert (faint[:60, :80] == 128).all()
    full = draw_label_map(gray(), label_map, NAMES, opacity=1.0)
    assert (full[:60, :80] == class_palette()[1]).all()


def legend_of(drawn: Picture, width: int) -> Picture:
    return drawn[:, width + GAP :]


def has_color(picture: Picture, label: int) -> bool:
    return bool((picture == class_palette()[label]).all(axis=2).any())


def test_the_legend_lists_the_classes_in_the_picture() -> None:
    legend = legend_of(draw_label_map(gray(), halves(), NAMES), 80)
    assert has_color(legend, 1)
    assert not has_color(legend, 2)
    one_class = legend_of(draw_label_map(gray(), np.full((60, 80), 2, np.uint8), NAMES), 80)
    assert has_color(one_class, 2)
    assert not has_color(one_class, 1)
    # A line less of text.
    assert (one_class < 100).any(axis=(1, 2)).sum() < (legend < 100).any(axis=(1, 2)).sum()


def test_the_largest_class_stands_first_in_the_legend() -> None:
    label_map = np.full((60, 80), 2, np.uint8)
    label_map[:10] = 1
    legend = legend_of(draw_label_map(gray(), label_map, NAMES), 80)
    first, second = (
        np.flatnonzero((legend == class_palette()[label]).all(axis=2).any(axis=1))
        for label in (2, 1)
    )
    assert first.max() < second.min()


def test_a_legend_longer_than_the_picture_extends_it() -> None:
    names = [f"class {label}" for label in range(150)]
    label_map = np.arange(150, dtype=np.uint8).reshape(10, 15)
    drawn = draw_label_map(gray(10, 15), label_map, names)
    assert len(drawn) > 150 * 12
    assert (drawn[10:, :15] == 255).all()
    legend = legend_of(drawn, 15)
    assert all(has_color(legend, label) for label in range(150))


@pytest.mark.parametrize("size", [(1, 1), (4, 1), (1, 4), (2, 900), (3000, 3)])
def test_any_size(size: tuple[int, int]) -> None:
    label_map = np.ones(size, np.uint8)
    drawn = draw_label_map(gray(*size), label_map, NAMES)
    assert drawn.shape[2] == 3
    assert (drawn[: size[0], : size[1]] == (128, 64, 64)).all()


def test_only_void_has_an_empty_legend() -> None:
    drawn = draw_label_map(gray(5, 5), np.full((5, 5), 255, np.uint8), NAMES)
    assert (drawn[:, :5] == 128).all()
    assert (drawn[:, 5:] == 255).all()


def test_the_legend_grows_with_the_picture() -> None:
    small = draw_label_map(gray(), halves(), NAMES).shape[1] - 80
    large = draw_label_map(gray(2000, 80), halves(2000, 80), NAMES).shape[1] - 80
    assert large > 3 * small


def test_read_only_pictures_are_drawn_on_and_sizes_must_agree() -> None:
    picture, label_map = gray(), halves()
    picture.flags.writeable = label_map.flags.writeable = False
    assert (draw_label_map(picture, label_map, NAMES)[:, :80] != 128).any()
    with pytest.raises(ValueError, match=r"\(60, 80\) for a picture of \(80, 60\)"):
        draw_label_map(gray(80, 60), label_map, NAMES)
