import pytest
import torch
from torch import Tensor

from mnv2_dense.detection.anchors import AnchorGenerator, AnchorSettings
from mnv2_dense.structures import ImageSize

CPU = torch.device("cpu")
CELLS = {320: (20, 10, 5, 3, 2, 1), 300: (19, 10, 5, 3, 2, 1)}


def square(size: int) -> Tensor:
    cells = [ImageSize(side, side) for side in CELLS[size]]
    return AnchorGenerator()(cells, ImageSize(size, size), CPU)


@pytest.mark.parametrize(("size", "count"), [(320, 2034), (300, 1917)])
def test_counts_of_the_release(size: int, count: int) -> None:
    assert square(size).shape == (count, 4)
    assert AnchorGenerator().counts == [3, 6, 6, 6, 6, 6]


def test_first_cell_by_hand() -> None:
    """Centre of cell 0 of 20; a square of 0.1, then 0.2 at ratio 2 and 1/2."""
    wide, narrow = 0.2 * 2**0.5, 0.2 / 2**0.5
    expected = [
        [0.025, 0.025, 0.1, 0.1],
        [0.025, 0.025, wide, narrow],
        [0.025, 0.025, narrow, wide],
    ]
    torch.testing.assert_close(square(320)[:3], torch.tensor(expected))


def test_last_cell_by_hand() -> None:
    sides = [
        (0.95, 0.95),
        (0.95 * 2**0.5, 0.95 / 2**0.5),
        (0.95 / 2**0.5, 0.95 * 2**0.5),
        (0.95 * 3**0.5, 0.95 / 3**0.5),
        (0.95 * 0.3333**0.5, 0.95 / 0.3333**0.5),
        (0.95**0.5, 0.95**0.5),  # the next scale is 1
    ]
    expected = torch.tensor([[0.5, 0.5, *side] for side in sides])
    torch.testing.assert_close(square(320)[-6:], expected)


def test_cells_are_row_major_within_a_level() -> None:
    generator = AnchorGenerator(1, reduce_lowest_level=False, aspect_ratios=(1.0,))
    anchors = generator([ImageSize(2, 3)], ImageSize(40, 60), CPU)
    assert [len(anchors), generator.counts] == [12, [2]]
    centers = anchors[::2, :2]
    expected = [[x / 6, y / 4] for y in (1, 3) for x in (1, 3, 5)]
    torch.testing.assert_close(centers, torch.tensor(expected))


def test_anchors_keep_their_shape_in_pixels_on_a_wide_input() -> None:
    cells = [ImageSize(4, 8)] + [ImageSize(1, 1)] * 5
    anchors = AnchorGenerator()(cells, ImageSize(100, 200), CPU)
    pixels = anchors * torch.tensor([200, 100, 200, 100])
    torch.testing.assert_close(pixels[0, 2:], torch.tensor([10.0, 10.0]))
    torch.testing.assert_close(pixels[1, 2] / pixels[1, 3], torch.tensor(2.0))


def test_one_level_and_other_sizes_do_not_mix() -> None:
    generator = AnchorGenerator(1)
    small = generator([ImageSize(1, 1)], ImageSize(10, 10), CPU)
    large = generator([ImageSize(2, 2)], ImageSize(10, 10), CPU)
    wide = generator([ImageSize(1, 1)], ImageSize(10, 20), CPU)
    assert [len(small), len(large), len(wide)] == [3, 12, 3]
    assert not torch.equal(small, wide)
    assert generator([ImageSize(1, 1)], ImageSize(10, 10), CPU) is small


def test_levels_must_be_those_of_the_generator() -> None:
    with pytest.raises(ValueError, match="shorter"):
        AnchorGenerator(6)([ImageSize(1, 1)], ImageSize(10, 10), CPU)


def test_given_scales_and_small_square_by_hand() -> None:
    generator = AnchorGenerator(
        2, scales=[0.1, 0.4], min_scale=0.9, aspect_ratios=(1.0, 4.0), lowest_scale=0.05
    )
    assert generator.shapes == [
        [(0.05, 1.0), (0.1, 2.0), (0.1, 0.5)],
        [(0.4, 1.0), (0.4, 4.0), (0.4**0.5, 1.0)],
    ]
    whole = AnchorGenerator(2, scales=[0.1, 0.4], aspect_ratios=(1.0,), reduce_lowest_level=False)
    assert whole.shapes[0] == [(0.1, 1.0), (pytest.approx(0.2), 1.0)]


def test_the_evenly_spaced_scales_may_be_given() -> None:
    spaced = AnchorGenerator()
    given = AnchorGenerator(scales=spaced.scales)
    assert spaced.scales == pytest.approx((0.2, 0.35, 0.5, 0.65, 0.8, 0.95))
    assert given.shapes == spaced.shapes


def test_a_scale_for_each_level_or_none() -> None:
    with pytest.raises(ValueError, match=r"^2 scales for 3 levels$"):
        AnchorGenerator(3, scales=[0.1, 0.2])


def test_settings_are_those_of_their_generator() -> None:
    settings = AnchorSettings((0.1, 0.4), (1.0, 2.0), reduce_lowest_level=True, lowest_scale=0.05)
    generator = settings.generator()
    assert generator.scales == settings.scales
    assert generator.shapes[0][0] == (0.05, 1.0)
    assert generator.counts == [3, 3]
