import pytest
import torch
import torch.nn.functional as F

from mnv2_dense.ops.resize import resize_map
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
