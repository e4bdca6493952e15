"""The one rule by which pictures, features and logits are resized."""

import torch.nn.functional as F
from torch import Tensor

from mnv2_dense.structures import ImageSize


def resize_map(maps: Tensor, size: ImageSize, align_corners: bool) -> Tensor:
    """Maps [B, C, h, w] resized bilinear to [B, C, *size], in float32.

    Args:
        maps: Features, logits or normalised pictures.
        size: Of the result.
        align_corners: Whether the corner cells' centres lie on the corner pixels' centres.
    """
    return F.interpolate(maps.float(), tuple(size), mode="bilinear", align_corners=align_corners)
