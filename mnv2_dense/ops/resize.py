"""How features and logits are resized."""

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mnv2_dense.ops.labels import Places
from mnv2_dense.structures import ImageSize


def resize_map(maps: Tensor, size: ImageSize, align_corners: bool) -> Tensor:
    """Maps [B, C, h, w] resized bilinear to [B, C, *size], in float32 or, if they are, float64.

    Args:
        maps: Features, logits or normalised pictures.
        size: Of the result.
        align_corners: Whether the corner cells' centres lie on the corner pixels' centres.
    """
    exact = maps.to(torch.promote_types(maps.dtype, torch.float32))
    return F.interpolate(exact, tuple(size), mode="bilinear", align_corners=align_corners)


def interpolate_bands(
    maps: Tensor, rows: Places, columns: Places
) -> Iterator[tuple[slice, Tensor]]:
    """Maps [..., h, w] interpolated bilinear at places, some of their rows after the other.

    On a CPU these are the rows between two rows of the maps: few enough to stay in its cache,
    where whatever is computed of them takes a fraction of the time. Elsewhere they are all.

    Args:
        maps: Features, logits or probabilities.
        rows: Of the result, in the maps.
        columns: Of the result, in the maps.

    Yields:
        Which rows of the result, and their values [..., r, len(columns)] in float32 or, if the maps
        are, float64, which the caller may change.
    """
    maps = maps.to(torch.promote_types(maps.dtype, torch.float32))
    wide = _between(maps, columns)
    if maps.device.type != "cpu":
        tall = _between(wide.transpose(-1, -2), rows).transpose(-1, -2)
        yield slice(0, len(rows.lower)), tall
        return
    shares = torch.from_numpy(rows.share).to(maps.dtype)[:, None]
    for first, last in _runs(rows):
        above = int(rows.lower[first])
        below = min(above + 1, maps.shape[-2] - 1)
        upper, lower = (wide[..., row : row + 1, :] for row in (above, below))
        yield slice(first, last), torch.lerp(upper, lower, shares[first:last])


def _between(maps: Tensor, places: Places) -> Tensor:
    """Maps interpolated along their last dimension."""
    lower = torch.from_numpy(places.lower).to(maps.device)
    upper = (lower + 1).clamp(max=maps.shape[-1] - 1)
    first, second = (
        maps.gather(-1, index.expand(*maps.shape[:-1], -1)) for index in (lower, upper)
    )
    return torch.lerp(first, second, torch.from_numpy(places.share).to(first))


def _runs(places: Places) -> list[tuple[int, int]]:
    """First and one past the last of the places that lie between the same two rows."""
    starts = np.flatnonzero(np.diff(places.lower, prepend=-1)).tolist()
    return list(zip(starts, [*starts[1:], len(places.lower)], strict=True))
