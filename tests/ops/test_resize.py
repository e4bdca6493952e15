import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mnv2_dense.ops.resize import resize_legacy, resize_map
from mnv2_dense.structures import ImageSize


def test_resize_keeps_corners_in_place_or_not() -> None:
    """Two cells to four pixels, by hand: centres on the corners, or half a cell inside."""
    cells = torch.tensor([0.0, 3.0]).view(1, 1, 1, 2)
    size = ImageSize(1, 4)
    assert resize_map(cells, size, True).flatten().tolist() == pytest.approx([0, 1, 2, 3])
    assert resize_map(cells, size, False).flatten().tolist() == pytest.approx([0, 0.75, 2.25, 3])


def test_cells_stand_on_every_sixteenth_pixel_of_513() -> None:
    cells = torch.randn(1, 2, 33, 33)
    resized = resize_map(cells, ImageSize(513, 513), align_corners=True)
    torch.testing.assert_close(resized[:, :, ::16, ::16], cells, rtol=1e-4, atol=1e-4)


def test_float64_keeps_its_digits() -> None:
    maps = torch.randn(1, 2, 5, 7, dtype=torch.float64)
    resized = resize_map(maps, ImageSize(9, 9), align_corners=True)
    assert resized.dtype == torch.float64
    torch.testing.assert_close(resized[..., ::8, ::8], maps[..., ::4, ::6], rtol=1e-14, atol=0)


@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize("size", [(5, 7), (40, 3), (1, 1)])
def test_resize_is_bilinear_in_float32(size: tuple[int, int], align_corners: bool) -> None:
    maps = torch.randn(2, 3, 5, 7).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        resized = resize_map(maps, ImageSize(*size), align_corners)
    assert resized.dtype == torch.float32
    expected = F.interpolate(maps.float(), size=size, mode="bilinear", align_corners=align_corners)
    torch.testing.assert_close(resized, expected)


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
