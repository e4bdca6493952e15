"""Colours of a whole batch distorted on the device, as `photometric` does for one picture."""

from collections.abc import Sequence

import torch
from torch import Tensor

from mnv2_dense.photometric import HUE_STEPS

_SECTOR = HUE_STEPS // 6
_FIXED_POINT = 4096.0


def join_distortions(distortions: Sequence[Sequence[float] | None]) -> Tensor | None:
    """What `distort_batch` takes for the samples of a batch; None where there is none to do."""
    rows = [each for each in distortions if each is not None]
    return torch.tensor(rows, dtype=torch.float32) if rows else None


def distort_batch(images: Tensor, distortions: Tensor) -> Tensor:
    """Pictures with their colours distorted, within 1/255 of `photometric.distort`.

    Follows OpenCV's uint8 HSV step by step. Every number before the last rounding is exact in
    float32, so devices differ from it in ties of that rounding alone. Nothing waits for a GPU.

    Args:
        images: uint8 RGB [B, 3, H, W].
        distortions: float32 [B, 5], a `photometric.Distortion` for each.

    Returns:
        uint8 [B, 3, H, W], channels last in memory.
    """
    # Planes [B, H, W] from here on; the amounts stand for all pixels of their picture.
    brightness, contrast, hue, saturation, value = distortions.float().t()[:, :, None, None]
    channels = [
        _round((plane.float() + brightness).clamp_(0, 255) * contrast) for plane in images.unbind(1)
    ]
    hues, saturations, values = _to_hsv(*channels)
    turned = _to_rgb(
        torch.remainder(hues + hue, HUE_STEPS),
        _round(saturations * saturation),
        _round(values * value),
    )
    in_hsv = (hue != 0) | (saturation != 1)
    planes = [torch.where(in_hsv, *pair) for pair in zip(turned, channels, strict=True)]
    return torch.stack(planes, dim=-1).to(torch.uint8).permute(0, 3, 1, 2)


def _round(values: Tensor) -> Tensor:
    return values.round().clamp_(0, 255)


def _to_hsv(red: Tensor, green: Tensor, blue: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """OpenCV's RGB2HSV of uint8 in its fixed-point arithmetic: hue in steps of two degrees."""
    value = torch.maximum(torch.maximum(red, green), blue)
    span = value - torch.minimum(torch.minimum(red, green), blue)
    sector = torch.where(
        value == red,
        green - blue,
        torch.where(value == green, blue - red + 2 * span, red - green + 4 * span),
    )
    # Where the divisor is 0 the dividend is, too.
    hue = _fixed_product(sector, (_SECTOR * _FIXED_POINT / span.clamp(min=1)).round())
    saturation = _fixed_product(span, (255 * _FIXED_POINT / value.clamp(min=1)).round())
    return torch.where(hue < 0, hue + HUE_STEPS, hue), saturation, value


def _fixed_product(values: Tensor, factors: Tensor) -> Tensor:
    return ((values * factors + _FIXED_POINT / 2) / _FIXED_POINT).floor_()


def _to_rgb(hue: Tensor, saturation: Tensor, value: Tensor) -> list[Tensor]:
    """The inverse: a channel falls below the value by the saturation, as far as hue is from it."""
    fall = value * saturation
    whole = 255.0 * _SECTOR
    planes = []
    for first in (5, 3, 1):  # red, green, blue
        place = torch.remainder(hue + first * _SECTOR, HUE_STEPS)
        share = torch.minimum(place, 4 * _SECTOR - place).clamp_(0, _SECTOR)
        planes.append(((value * whole - fall * share) / whole).round_())
    return planes
