import numpy as np
import pytest

from mnv2_dense.ops.legacy_resize import resize_legacy
from mnv2_dense.structures import ImageSize


def row_of(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.uint8)[None, :, None]


@pytest.mark.parametrize(
    ("picture", "width", "expected"),
    [
        ((0, 10), 4, [0, 5, 10, 10]),
        ((0, 10), 1, [0]),
        ((10, 20, 40, 80), 2, [10, 40]),
        ((0, 30, 60), 2, [0, 45]),
        ((0, 90), 6, [0, 30, 60, 90, 90, 90]),
        ((7,), 3, [7, 7, 7]),
        ((9, 1, 200), 3, [9, 1, 200]),
    ],
)
def test_the_legacy_resize_by_hand(
    picture: tuple[int, ...], width: int, expected: list[float]
) -> None:
    row = row_of(*picture)
    for image, size in ((row, ImageSize(1, width)), (row.swapaxes(0, 1), ImageSize(width, 1))):
        resized = resize_legacy(image, size)
        assert resized.shape == (*size, 1)
        assert resized.dtype == np.float32
        assert resized.flatten().tolist() == pytest.approx(expected, abs=1e-5)


def legacy_by_loop(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Pixel by pixel, in double precision."""
    rows, columns = image.shape[:2]
    resized = np.zeros((height, width, image.shape[2]))
    for i in range(height):
        for j in range(width):
            y, x = i * rows / height, j * columns / width
            for row, tall in ((int(y), 1 - y % 1), (min(int(y) + 1, rows - 1), y % 1)):
                for column, wide in ((int(x), 1 - x % 1), (min(int(x) + 1, columns - 1), x % 1)):
                    resized[i, j] += tall * wide * image[row, column]
    return resized


@pytest.mark.parametrize("size", [(5, 7), (3, 20), (17, 2), (13, 9), (1, 1)])
def test_the_legacy_resize_is_bilinear_from_the_top_left(size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (13, 9, 3), dtype=np.uint8)
    resized = resize_legacy(image, ImageSize(*size))
    np.testing.assert_allclose(resized, legacy_by_loop(image, *size), atol=1e-3)


def test_the_legacy_resize_has_tensorflows_very_numbers() -> None:
    """The same steps in float32: along x above and below, then along y."""
    image = np.random.default_rng(1).integers(0, 256, (41, 53, 3), dtype=np.uint8)
    resized = resize_legacy(image, ImageSize(30, 30))
    one = np.float32
    y, x = (one(index) * (one(side) / one(30)) for index, side in ((17, 41), (23, 53)))
    (row, column), across, down = (int(y), int(x)), x - one(int(x)), y - one(int(y))
    cells = image[row : row + 2, column : column + 2].astype(one)
    above, below = cells[:, 0] + (cells[:, 1] - cells[:, 0]) * across
    assert resized[17, 23].tolist() == (above + (below - above) * down).tolist()
