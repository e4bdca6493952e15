"""Box arithmetic that torchvision.ops does not have."""

import torch
from torch import Tensor

from mnv2_dense.structures import ImageSize


def center_to_corner(boxes: Tensor) -> Tensor:
    """Boxes [..., 4] as (cx, cy, w, h) turned into (x1, y1, x2, y2), in the same unit."""
    center, size = boxes[..., :2], boxes[..., 2:]
    return torch.cat([center - size / 2, center + size / 2], dim=-1)


def corner_to_center(boxes: Tensor) -> Tensor:
    """Boxes [..., 4] as (x1, y1, x2, y2) turned into (cx, cy, w, h), in the same unit."""
    top_left, bottom_right = boxes[..., :2], boxes[..., 2:]
    return torch.cat([(top_left + bottom_right) / 2, bottom_right - top_left], dim=-1)


def size_scale(size: ImageSize, like: Tensor) -> Tensor:
    """The factors [4] that turn boxes in shares of an image into xyxy pixels of `size`."""
    # Filled in place: a tensor made of numbers is copied to a GPU, which is waited for.
    factors = like.new_full((4,), size.height)
    factors[0::2].fill_(size.width)
    return factors


def clip_to_image(boxes: Tensor, size: ImageSize) -> Tensor:
    """Boxes [..., 4] xyxy pixels, moved to lie inside an image of `size`."""
    return torch.minimum(boxes.clamp(min=0), size_scale(size, boxes))
