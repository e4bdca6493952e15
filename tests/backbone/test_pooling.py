import math

import numpy as np
import pytest
import torch

from mnv2_dense.backbone.blocks import Padding
from mnv2_dense.backbone.pooling import AveragePool, MaxPool

SIZES = [(1, 1), (1, 2), (6, 7), (8, 8), (9, 5)]
PADDINGS = ["symmetric", "same"]


def windows(size: int, stride: int, dilation: int, padding: Padding) -> list[list[int]]:
    """Cells that each output of one side reads, those outside the map included."""
    outputs = math.ceil(size / stride)
    before = dilation
    if padding == "same":
        before = max((outputs - 1) * stride + 2 * dilation + 1 - size, 0) // 2
    return [[i * stride - before + step * dilation for step in range(3)] for i in range(outputs)]


def pooled_by_hand(
    maps: np.ndarray, kind: str, stride: int, dilation: int, padding: Padding
) -> np.ndarray:
    rows, columns = (windows(size, stride, dilation, padding) for size in maps.shape)
    result = np.empty((len(rows), len(columns)), dtype=maps.dtype)
    for y, row in enumerate(rows):
        for x, column in enumerate(columns):
            inside = [
                maps[i, j]
                for i in row
                for j in column
                if 0 <= i < maps.shape[0] and 0 <= j < maps.shape[1]
            ]
            counted = 9 if padding == "symmetric" else len(inside)
            result[y, x] = max(inside) if kind == "max" else sum(inside) / counted
    return result


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("size", SIZES)
def test_max_pool_is_the_largest_of_each_window(size: tuple[int, int], padding: Padding) -> None:
    # Below zero, where padding with zeros would be seen.
    maps = torch.rand(2, 3, *size, dtype=torch.float64) - 2
    found = MaxPool(padding)(maps)
    for image in range(2):
        for channel in range(3):
            expected = pooled_by_hand(maps[image, channel].numpy(), "max", 2, 1, padding)
            np.testing.assert_array_equal(found[image, channel].numpy(), expected)


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("stride", "dilation"), [(1, 1), (2, 1), (1, 2), (1, 4)])
def test_average_pool_is_the_mean_of_each_window(
    size: tuple[int, int], stride: int, dilation: int, padding: Padding
) -> None:
    maps = torch.rand(2, 3, *size, dtype=torch.float64)
    found = AveragePool(stride=stride, dilation=dilation, padding=padding)(maps)
    for image in range(2):
        for channel in range(3):
            expected = pooled_by_hand(
                maps[image, channel].numpy(), "mean", stride, dilation, padding
            )
            np.testing.assert_allclose(found[image, channel].numpy(), expected, rtol=1e-12)


def test_where_the_window_lies_on_an_even_side() -> None:
    row = torch.tensor([[[[4.0, 3.0, 2.0, 1.0]]]])
    assert MaxPool("symmetric")(row).flatten().tolist() == [4.0, 3.0]
    assert MaxPool("same")(row).flatten().tolist() == [4.0, 2.0]


def test_the_mean_of_a_constant_map() -> None:
    ones = torch.ones(1, 1, 5, 5)
    assert AveragePool(stride=2, padding="same")(ones).unique().tolist() == [1.0]
    corner = AveragePool(stride=2)(ones)[0, 0, 0, 0]
    assert corner == pytest.approx(4 / 9)
