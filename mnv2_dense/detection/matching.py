"""Which anchor stands for which ground truth."""

import torch
from torch import Tensor
from torchvision.ops import box_iou

UNMATCHED = -1


def match_anchors(
    boxes: Tensor,
    anchors: Tensor,
    *,
    match_iou_threshold: float = 0.5,
    force_match: bool = True,
) -> Tensor:
    """Index [A] of the ground truth that each anchor is trained to find, or UNMATCHED.

    An anchor takes the box it overlaps most, if their IoU reaches the threshold. With
    `force_match` every box then takes its best anchor, whatever the IoU and whoever held
    it; if two boxes claim one anchor, the first has it, as in the release.

    Args:
        boxes: Ground truth [N, 4] xyxy, in the anchors' unit; N may be 0.
        anchors: Anchors [A, 4] xyxy.
        match_iou_threshold: Smallest IoU of a positive anchor, in [0, 1].
        force_match: Whether a box without an anchor above the threshold gets one.

    Returns:
        Indices [A] int64 into `boxes`.

    Source: `argmax_matcher.py` of the release.
    """
    if len(boxes) == 0:
        return torch.full((len(anchors),), UNMATCHED, dtype=torch.int64, device=anchors.device)
    iou = box_iou(boxes, anchors)
    best_iou, matches = iou.max(dim=0)
    matches = torch.where(best_iou >= match_iou_threshold, matches, UNMATCHED)
    if force_match:
        forced = _forced_matches(iou)
        matches = torch.where(forced == UNMATCHED, matches, forced)
    return matches


def _forced_matches(iou: Tensor) -> Tensor:
    """The first box [A] whose best anchor each anchor is, of IoU [N, A], or UNMATCHED."""
    count = len(iou)
    order = torch.arange(count, device=iou.device)
    first = torch.full((iou.shape[1],), count, device=iou.device)
    first.scatter_reduce_(0, iou.argmax(dim=1), order, reduce="amin")
    return torch.where(first == count, UNMATCHED, first)
