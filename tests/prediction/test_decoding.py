from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from mnv2_dense.ops.resize import resize_map
from mnv2_dense.prediction.decoding import (
    Window,
    average_windows,
    decode_labels,
    places_of,
    shrunken_pixels,
)
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


def test_windows_are_averaged_where_they_overlap() -> None:
    """Against probabilities of whole windows, added up pixel by pixel."""
    window, size, tops, lefts = ImageSize(16, 24), (30, 50), (0, 12, 14), (0, 18, 26)
    windows = [Window(top, left, smooth_logits(4, 4, 6)) for top in tops for left in lefts]
    total, single = np.zeros((4, *size)), np.zeros(size, np.uint8)
    for top, left, logits in windows:
        whole = resize_map(torch.from_numpy(logits)[None], window, False)[0]
        total[:, top : top + 16, left : left + 24] += whole.softmax(0).numpy()
        single[top : top + 16, left : left + 24] = whole.argmax(0)
    before = single.copy()
    average_windows(windows, single, window, align_corners=False)
    assert (single == total.argmax(0)).mean() > 0.999
    assert (single != before).any()
