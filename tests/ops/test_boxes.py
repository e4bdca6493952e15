import torch
from hypothesis import given
from hypothesis import strategies as st

from mnv2_dense.ops.boxes import center_to_corner, clip_to_image, corner_to_center, size_scale
from mnv2_dense.structures import ImageSize

SIDE = st.floats(-1000, 1000, width=32)


def test_values_by_hand() -> None:
    corners = torch.tensor([[10.0, 20.0, 40.0, 30.0], [-2.0, 0.0, 2.0, 1.0]])
    centers = torch.tensor([[25.0, 25.0, 30.0, 10.0], [0.0, 0.5, 4.0, 1.0]])
    torch.testing.assert_close(corner_to_center(corners), centers, rtol=0, atol=0)
    torch.testing.assert_close(center_to_corner(centers), corners, rtol=0, atol=0)


@given(st.tuples(SIDE, SIDE, SIDE, SIDE))
def test_round_trip(values: tuple[float, float, float, float]) -> None:
    boxes = torch.tensor(values, dtype=torch.float64)
    torch.testing.assert_close(center_to_corner(corner_to_center(boxes)), boxes)


def test_leading_dimensions_are_kept_even_without_boxes() -> None:
    for shape in ((0, 4), (2, 0, 4), (2, 3, 4), (4,)):
        boxes = torch.rand(shape)
        assert center_to_corner(boxes).shape == shape
        assert corner_to_center(boxes).shape == shape
        assert clip_to_image(boxes, ImageSize(4, 4)).shape == shape


def test_scale_puts_width_on_x_and_height_on_y() -> None:
    like = torch.zeros(1, dtype=torch.float64)
    scale = size_scale(ImageSize(height=3, width=7), like)
    assert scale.tolist() == [7, 3, 7, 3]
    assert scale.dtype == torch.float64


def test_clipping_by_hand() -> None:
    boxes = torch.tensor(
        [
            [-5.0, -1.0, 3.0, 2.0],
            [1.0, 1.0, 100.0, 90.0],
            [20.0, -9.0, 30.0, -3.0],  # outside: nothing is left of it
            [0.0, 0.0, 10.0, 6.0],
        ]
    )
    expected = [[0, 0, 3, 2], [1, 1, 10, 6], [10, 0, 10, 0], [0, 0, 10, 6]]
    assert clip_to_image(boxes, ImageSize(height=6, width=10)).tolist() == expected
