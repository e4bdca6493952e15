"""From raw outputs to class probabilities in pixels of the picture."""

import torch
from torch import Tensor, nn

from mnv2_dense.ops.resize import resize_map
from mnv2_dense.segmentation.network import SegmenterOutputs
from mnv2_dense.structures import ImageSize


class Decoder(nn.Module):
    """Logits up-sampled to the picture, then softmax over the classes.

    Args:
        align_corners: Whether the corner cells' centres lie on the corner pixels' centres.

    Source: DeepLab release, model.py `predict_labels`: bilinear, align_corners true.
    """

    def __init__(self, *, align_corners: bool = True) -> None:
        super().__init__()
        self.align_corners = align_corners

    @torch.no_grad()
    def forward(self, outputs: SegmenterOutputs, size: ImageSize) -> Tensor:
        """Class probabilities [B, C, H, W] float32 at `size`."""
        logits = resize_map(outputs.class_logits, size, self.align_corners)
        return logits.softmax(dim=1)
