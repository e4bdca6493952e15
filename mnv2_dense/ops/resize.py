"""How features and logits are resized."""

import torch
import torch.nn.functional as F
from torch import Tensor

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
