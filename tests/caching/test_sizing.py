from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnv2_dense.caching.sizing import Sizing, enlarge, enlarge_labels, resize_labels, shrink
from mnv2_dense.structures import IGNORE_INDEX, ImageSize

sides = st.integers(1, 60)


@pytest.mark.parametrize(
    ("sizing", "size", "expected"),
    [
        (Sizing("shorter", 320), ImageSize(480, 640), ImageSize(320, 427)),
        (Sizing("longer", 320), ImageSize(480, 640), ImageSize(240, 320)),
        (Sizing("shorter", 480), ImageSize(480, 640), ImageSize(480, 640)),
        (Sizing("shorter", 500), ImageSize(480, 640), ImageSize(480, 640)),
        (Sizing("full"), ImageSize(4800, 6400), ImageSize(4800, 6400)),
        (Sizing("longer", 10), ImageSize(1, 1000), ImageSize(1, 10)),
    ],
)
def test_one_side_is_bound_and_none_is_enlarged(
    sizing: Sizing, size: ImageSize, expected: ImageSize
) -> None:
    assert sizing.fit(size) == expected
    assert sizing.fit(ImageSize(*size[::-1])) == expected[::-1]


def test_a_size_says_what_it_is() -> None:
    assert str(Sizing("shorter", 320)) == "shorter side at most 320"
    assert str(Sizing("full")) == "full size"


def test_pixels_of_a_smaller_picture_are_means() -> None:
    image = np.zeros((4, 6, 3), np.uint8)
    image[:2, :2] = 200
    small = shrink(image, ImageSize(2, 3))
    assert small[..., 0].tolist() == [[200, 0, 0], [0, 0, 0]]
    assert shrink(image, ImageSize(4, 6)) is image


def test_a_picture_is_brought_back_to_its_size() -> None:
    small = np.full((3, 4, 3), 90, np.uint8)
    assert enlarge(small, ImageSize(7, 9)).shape == (7, 9, 3)
    assert np.unique(enlarge(small, ImageSize(7, 9))).tolist() == [90]
    assert enlarge(small, ImageSize(3, 4)) is small


def test_labels_are_those_under_the_pixels_centres() -> None:
    labels = np.array([[0, 1, 2, IGNORE_INDEX, 4, 5]], np.uint8)
    # Centres at 1, 3 and 5: on the border of two pixels the one behind it.
    assert resize_labels(labels, ImageSize(1, 3)).tolist() == [[1, IGNORE_INDEX, 5]]
    assert resize_labels(labels, ImageSize(2, 2)).tolist() == [[1, 4], [1, 4]]
    assert resize_labels(labels, ImageSize(1, 6)) is labels


@given(sides, sides, sides, sides)
def test_labels_by_exact_fractions(height: int, width: int, rows: int, columns: int) -> None:
    labels = np.arange(height * width, dtype=np.uint16).reshape(height, width)
    found = resize_labels(labels, ImageSize(rows, columns))
    half = Fraction(1, 2)
    down = [int((row + half) * height / rows) for row in range(rows)]
    across = [int((column + half) * width / columns) for column in range(columns)]
    assert found.tolist() == [[row * width + column for column in across] for row in down]


@given(sides, sides, st.sampled_from([1, 3, 5, 7]))
def test_enlarging_labels_by_an_odd_factor_repeats_them(
    height: int, width: int, factor: int
) -> None:
    # No centre is on the border of two pixels.
    labels = np.arange(height * width, dtype=np.uint8).reshape(height, width)
    size = ImageSize(height * factor, width * factor)
    expected = labels.repeat(factor, axis=0).repeat(factor, axis=1)
    assert np.array_equal(enlarge_labels(labels, size), expected)
    assert np.array_equal(resize_labels(labels, size), expected)
