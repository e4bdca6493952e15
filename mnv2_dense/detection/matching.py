"""Which anchor stands for which ground truth, for all images of a batch at once."""

import torch
from torch import Tensor
from torchvision.ops import box_iou

UNMATCHED = -1


def match_anchors(
    boxes: Tensor,
    images: Tensor,
    num_images: int,
    anchors: Tensor,
    *,
    match_iou_threshold: float = 0.5,
    force_match: bool = True,
) -> Tensor:
    """Index [B, A] of the ground truth that each anchor is trained to find, or UNMATCHED.

    An anchor takes the box of its image that it overlaps most, if their IoU reaches the
    threshold. With `force_match` every box then takes its best anchor, whatever the IoU and
    whoever held it; if two boxes claim one anchor, the first has it, as in the release.

    Time and memory follow the boxes of the whole batch, however they are spread over its images,
    and nothing waits for the device.

    Args:
        boxes: Ground truth of all images [M, 4] xyxy, in the anchors' unit; M may be 0.
        images: Position in the batch [M] of the image of each box.
        num_images: B.
        anchors: Anchors [A, 4] xyxy, the same for every image.
        match_iou_threshold: Smallest IoU of a positive anchor, in [0, 1].
        force_match: Whether a box without an anchor above the threshold gets one.

    Returns:
        Indices [B, A] int64 into `boxes`.

    Source: `argmax_matcher.py` of the release.
    """
    iou = box_iou(boxes, anchors)
    matches = _best_boxes(iou, images, num_images, match_iou_threshold)
    if force_match:
        forced = _forced_matches(iou, images, num_images)
        matches = torch.where(forced == UNMATCHED, matches, forced)
    return matches


def _best_boxes(iou: Tensor, images: Tensor, num_images: int, threshold: float) -> Tensor:
    """The first box [B, A] of the highest IoU [M, A], where that reaches the threshold."""
    shape = (num_images, iou.shape[1])
    image_of = images[:, None].expand_as(iou)
    # Below any IoU: where there is no box, a threshold of 0 is not reached either.
    best = iou.new_full(shape, -1.0).scatter_reduce_(0, image_of, iou, "amax")
    boxes = torch.where(iou == best[images], _count(iou)[:, None], len(iou))
    first = boxes.new_full(shape, len(iou)).scatter_reduce_(0, image_of, boxes, "amin")
    return torch.where(best >= threshold, first, UNMATCHED)


def _forced_matches(iou: Tensor, images: Tensor, num_images: int) -> Tensor:
    """The first box [B, A] whose best anchor each anchor is, of IoU [M, A], or UNMATCHED."""
    boxes, count = _count(iou), iou.shape[1]
    claimed = images * count + iou.argmax(dim=1)
    first = boxes.new_full((num_images * count,), len(iou))
    first.scatter_reduce_(0, claimed, boxes, "amin")
    return torch.where(first == len(iou), UNMATCHED, first).view(num_images, count)


def _count(iou: Tensor) -> Tensor:
    return torch.arange(len(iou), device=iou.device)
