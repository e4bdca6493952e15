from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from mnv2_dense.ops.labels import decode_labels, places_of, shrunken_pixels
from mnv2_dense.ops.resize import resize_map
from mnv2_dense.structures import ImageSize

RANDOM = np.random.default_rng(0)


def smooth_logits(classes: int, height: int, width: int) -> NDArray[np.float32]:
    """With areas of one class, as networks give them."""
    coarse = RANDOM.normal(size=(1, classes, height // 3 + 1, width // 3 + 1)) * 4
    return resize_map(torch.from_numpy(coarse), ImageSize(height, width), False)[0].float().numpy()


@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize(
    ("cells", "window", "size"),
    [((9, 12), (129, 177), (129, 177)), ((5, 3), (65, 33), (200, 7)), ((1, 4), (8, 32), (9, 40)),
     ((3, 1), (24, 8), (50, 1))],
)  # fmt: skip
def test_the_labels_are_those_of_everything_interpolated(
    cells: tuple[int, int], window: tuple[int, int], size: tuple[int, int], align_corners: bool
) -> None:
    """By torch's own interpolation, where the picture is as large as the window; else by hand."""
    logits = smooth_logits(6, *cells)
    rows, columns = (
        places_of(shrunken_pixels(*sides[:2]), *sides[1:], align_corners)
        for sides in zip(size, window, cells, strict=True)
    )
    found = decode_labels(logits, rows, columns)
    down, across = (weights(*each) for each in zip((rows, columns), cells, strict=True))
    expected = down @ logits @ across.T
    assert found.dtype == np.uint8
    assert (found == expected.argmax(0)).mean() > 0.9999
    if window == size:
        whole = resize_map(torch.from_numpy(logits)[None], ImageSize(*size), align_corners)[0]
        np.testing.assert_allclose(expected, whole.numpy(), atol=1e-4)
        assert len(np.unique(found)) > 2


def weights(places: tuple[NDArray[np.int64], NDArray[np.float32]], cells: int) -> NDArray[Any]:
    matrix = np.zeros((len(places[0]), cells), np.float32)
    for pixel, (lower, share) in enumerate(zip(*places, strict=True)):
        matrix[pixel, lower] += 1 - share
        matrix[pixel, min(lower + 1, cells - 1)] += share
    return matrix


def test_the_first_of_equals_wins() -> None:
    rows = places_of(np.arange(16.0), 16, 2, True)
    assert not decode_labels(np.ones((3, 2, 2), np.float32), rows, rows).any()


@pytest.mark.parametrize("align_corners", [True, False])
def test_a_network_that_is_sure_of_nothing(align_corners: bool) -> None:
    """Every cell has another class than its neighbours, and so everything is interpolated."""
    logits = torch.from_numpy(RANDOM.normal(size=(1, 21, 33, 33)).astype(np.float32))
    places = places_of(np.arange(513.0), 513, 33, align_corners)
    found = decode_labels(logits[0].numpy(), places, places)
    naive = resize_map(logits, ImageSize(513, 513), align_corners).argmax(1)[0]
    assert (torch.from_numpy(found) == naive).float().mean() >= 0.9999


def test_a_class_that_is_best_nowhere_but_between() -> None:
    """By hand, two cells and three pixels: 5 5, 8 0 and 0 8 are 5, 4 and 4 in the middle."""
    logits = np.array([[[5.0, 5.0]], [[8.0, 0.0]], [[0.0, 8.0]]], np.float32)
    row, columns = places_of(np.zeros(1), 1, 1, True), places_of(np.arange(3.0), 3, 2, True)
    assert decode_labels(logits, row, columns).tolist() == [[1, 0, 2]]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_logits_of_a_network_that_diverged_have_labels(value: float) -> None:
    logits = smooth_logits(4, 5, 6)
    rows, columns = places_of(np.arange(41.0), 41, 5, True), places_of(np.arange(51.0), 51, 6, True)
    clean = decode_labels(logits, rows, columns)
    logits[:, 1, 2] = value
    found = decode_labels(logits, rows, columns)
    assert found.max() < 4
    # A row of cells is ten pixels high: nothing below the second gap touches the bad cell.
    assert (found[20:] == clean[20:]).all()


def test_no_class_is_possible_between_cells_that_are_no_numbers() -> None:
    """The only gaps that are interpolated are those around the bad cell."""
    logits = np.zeros((3, 5, 5), np.float32)
    logits[1] = 5
    logits[:, 2, 2] = float("nan")
    places = places_of(np.arange(41.0), 41, 5, True)
    found = decode_labels(logits, places, places)
    assert (found[:10] == 1).all()
    assert found.max() < 3
