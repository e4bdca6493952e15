import cv2
import numpy as np
import pytest

from mnv2_dense.shapes.outlines import SHAPE_CLASSES, ShapeClass, turn_outline

EACH_CLASS = pytest.mark.parametrize("shape", SHAPE_CLASSES, ids=lambda shape: shape.name)


def filled(shape: ShapeClass, extent: float) -> np.ndarray:
    lines = turn_outline(shape, extent=extent, aspect=1.0, angle=0.0)
    picture = np.zeros((int(extent) + 1, int(extent) + 1), dtype=np.uint8)
    cv2.fillPoly(picture, [np.round(line).astype(np.int32) for line in lines], 1)
    return picture


def test_at_least_eight_classes_with_gaps_in_their_ids() -> None:
    ids = [shape.category_id for shape in SHAPE_CLASSES]
    assert len(set(ids)) == len(ids) >= 8
    assert ids == sorted(ids)
    assert ids != list(range(1, len(ids) + 1))
    assert len({shape.name for shape in SHAPE_CLASSES}) == len(ids)


@EACH_CLASS
def test_longer_side_is_the_extent_asked_for(shape: ShapeClass) -> None:
    lines = turn_outline(shape, extent=40.0, aspect=1.3, angle=0.7)
    corners = np.concatenate(lines)
    np.testing.assert_allclose(corners.min(axis=0), 0, atol=1e-4)
    assert corners.max() == pytest.approx(40.0, abs=1e-3)


def test_quarter_turn_of_a_wide_shape_is_tall() -> None:
    square = next(shape for shape in SHAPE_CLASSES if shape.name == "square")
    (lying,) = turn_outline(square, extent=20, aspect=2.0, angle=0.0)
    (standing,) = turn_outline(square, extent=20, aspect=2.0, angle=np.pi / 2)
    np.testing.assert_allclose(lying.max(axis=0), [20, 10], atol=1e-3)
    np.testing.assert_allclose(standing.max(axis=0), [10, 20], atol=1e-3)


def test_ring_has_a_hole_and_disc_has_none() -> None:
    shapes = {shape.name: filled(shape, 40) for shape in SHAPE_CLASSES}
    assert shapes["disc"][20, 20] == 1
    assert shapes["ring"][20, 20] == 0
    assert shapes["ring"][20, 4] == 1


def test_classes_differ_in_shape_already_at_16_pixels() -> None:
    pictures = [filled(shape, 16).astype(bool) for shape in SHAPE_CLASSES]
    for k, first in enumerate(pictures):
        for second in pictures[:k]:
            overlap = (first & second).sum() / (first | second).sum()
            assert overlap < 0.82
