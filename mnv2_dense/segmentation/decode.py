"""From raw outputs to class probabilities in pixels of the picture."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from mnv2_dense.ops.labels import Places, places_of
from mnv2_dense.ops.resize import interpolate_bands
from mnv2_dense.segmentation.network import SegmenterOutputs
from mnv2_dense.structures import ImageSize


class Part(NamedTuple):
    """Some rows and columns of what the network sees, in pixels."""

    rows: range
    columns: range


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
    def forward(
        self, outputs: SegmenterOutputs, size: ImageSize, part: Part | None = None
    ) -> Tensor:
        """Class probabilities [B, C, H, W] float32.

        Args:
            outputs: Of the network.
            size: In pixels, of what the logits cover.
            part: What is wanted of it; None for all.
        """
        logits = outputs.class_logits
        part = part or Part(range(size.height), range(size.width))
        rows, columns = locate(logits, size, part, self.align_corners)
        probabilities: Tensor | None = None
        for band, values in interpolate_bands(logits, rows, columns):
            if probabilities is None:
                shape = (*values.shape[:-2], len(part.rows), len(part.columns))
                probabilities = values.new_empty(shape)
            probabilities[..., band, :] = values.softmax(dim=1)
        assert probabilities is not None  # No part is empty.
        return probabilities


def locate(
    logits: Tensor, size: ImageSize, part: Part, align_corners: bool
) -> tuple[Places, Places]:
    """Where the rows and the columns of a part lie among the cells of logits [..., h, w].

    Args:
        logits: Of the network.
        size: In pixels, of what they cover.
        part: Of these pixels.
        align_corners: Whether the corner cells' centres lie on the corner pixels' centres.
    """
    rows, columns = (
        places_of(np.array(pixels, np.float64), window, cells, align_corners)
        for pixels, window, cells in zip(part, size, logits.shape[-2:], strict=True)
    )
    return rows, columns
