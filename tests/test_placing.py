import numpy as np
import pytest

from mnv2_dense.placing import Span, look, place
from mnv2_dense.structures import ImageSize


def repeat(part: np.ndarray, size: ImageSize) -> np.ndarray:
    """A resize by whole factors."""
    return part.repeat(size.height // part.shape[0], 0).repeat(size.width // part.shape[1], 1)


@pytest.mark.parametrize(
    ("start", "stop", "expected"),
    [
        (0, 10, Span(0, 10, 0, 20)),
        (2, 7, Span(2, 7, 0, 20)),
        (-10, 10, Span(0, 10, 10, 20)),
        (-5, 15, Span(0, 10, 5, 15)),
        (5, 25, Span(5, 10, 0, 5)),
        (-399, 1, Span(0, 1, 19, 20)),  # A pixel of the picture is never seen as none.
        (-200, 10, Span(0, 10, 19, 20)),
        (12, 20, Span(0, 0, 0, 0)),
        (-20, 0, Span(0, 0, 0, 0)),
    ],
)
def test_look(start: int, stop: int, expected: Span) -> None:
    assert look(start, stop, side=10, length=20) == expected


def test_places_follow_the_pixels() -> None:
    span = look(-5, 15, side=10, length=40)
    assert span == Span(0, 10, 10, 30)
    np.testing.assert_array_equal(span.project(np.array([0.0, 2.5, 10.0])), [10, 15, 30])
    nothing = look(12, 20, side=10, length=40)
    assert (nothing.scale, nothing.project(np.array([3.0])).tolist()) == (0.0, [0.0])


def test_place() -> None:
    picture = np.arange(1, 7, dtype=np.uint8).reshape(2, 3)
    canvas = np.zeros((4, 4), np.uint8)
    placed = place(canvas, picture, Span(0, 2, 0, 4), Span(1, 3, 1, 3), repeat)
    assert placed.tolist() == [[0, 2, 3, 0], [0, 2, 3, 0], [0, 5, 6, 0], [0, 5, 6, 0]]
    whole = place(canvas, picture, Span(0, 2, 0, 4), Span(1, 3, 0, 4), repeat)
    assert whole.tolist() == [[2, 2, 3, 3], [2, 2, 3, 3], [5, 5, 6, 6], [5, 5, 6, 6]]
    nothing = place(canvas, picture, Span(0, 2, 0, 4), Span(0, 0, 0, 0), repeat)
    assert not np.shares_memory(nothing, canvas)
    assert not nothing.any()
    assert not canvas.any()
