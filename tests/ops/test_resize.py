import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mnv2_dense.ops.labels import places_of
from mnv2_dense.ops.resize import interpolate_bands, resize_map
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


def in_bands(maps: torch.Tensor, size: ImageSize, window: ImageSize) -> torch.Tensor:
    """The top left of a window, put together."""
    rows, columns = (
        places_of(np.arange(float(side)), pixels, cells, True)
        for side, pixels, cells in zip(size, window, maps.shape[-2:], strict=True)
    )
    found = torch.full((*maps.shape[:-2], *size), float("nan"))
    for band, values in interpolate_bands(maps, rows, columns):
        assert found[..., band, :].isnan().all()  # each row once
        found[..., band, :] = values.clone()
        values.zero_()  # as a caller may
    return found


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("cells", [(5, 7), (1, 7), (5, 1), (40, 60)])
def test_bands_are_the_resized_map(cells: tuple[int, int], dtype: torch.dtype) -> None:
    maps, window = torch.randn(2, 3, *cells).to(dtype), ImageSize(33, 49)
    before = maps.clone()
    with torch.autocast("cpu", torch.bfloat16):
        found = in_bands(maps, ImageSize(30, 41), window)
    expected = resize_map(maps, window, align_corners=True)[..., :30, :41]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert torch.equal(maps, before)


def test_a_band_holds_the_rows_between_two_cells() -> None:
    places = places_of(np.arange(33.0), 33, 3, True)
    bands = [band for band, _ in interpolate_bands(torch.zeros(1, 3, 3), places, places)]
    assert bands == [slice(0, 16), slice(16, 33)]


def test_elsewhere_than_on_a_cpu_all_rows_are_one_band() -> None:
    """On the device that computes nothing but shapes."""
    places = places_of(np.arange(33.0), 33, 3, True)
    ((band, values),) = interpolate_bands(torch.zeros(4, 3, 3, device="meta"), places, places)
    assert (band, values.shape) == (slice(0, 33), (4, 33, 33))
