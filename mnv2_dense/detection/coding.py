"""Boxes as offsets from anchors, and back."""

import math

import torch
from torch import Tensor

CENTER_SCALE, SIZE_SCALE = 10.0, 5.0
BOX_SCALES = (CENTER_SCALE, CENTER_SCALE, SIZE_SCALE, SIZE_SCALE)
"""Factors on the deltas of cx, cy, w, h (TF release: 10, 10, 5, 5)."""

MAX_LOG_SIZE = math.log(1000.0)
"""Bound on a decoded side, as the log of its ratio to the anchor: exp must not overflow."""


def encode_boxes(boxes: Tensor, anchors: Tensor) -> Tensor:
    """Deltas [..., 4] (tx, ty, tw, th) that turn anchors into boxes.

    Both are (cx, cy, w, h) in one unit, of shapes that broadcast; sides must be positive.

    Source: SSD (arXiv 1512.02325), equation 2, with the release's scales. The release
    orders them ty, tx, th, tw.
    """
    center = (boxes[..., :2] - anchors[..., :2]) / anchors[..., 2:]
    size = torch.log(boxes[..., 2:] / anchors[..., 2:])
    return torch.cat([center * CENTER_SCALE, size * SIZE_SCALE], dim=-1)


def decode_boxes(box_deltas: Tensor, anchors: Tensor) -> Tensor:
    """Boxes [..., 4] as (cx, cy, w, h) in the anchors' unit; the inverse of `encode_boxes`."""
    center = box_deltas[..., :2] / CENTER_SCALE * anchors[..., 2:] + anchors[..., :2]
    log_size = (box_deltas[..., 2:] / SIZE_SCALE).clamp(max=MAX_LOG_SIZE)
    size = torch.exp(log_size) * anchors[..., 2:]
    return torch.cat([center, size], dim=-1)
