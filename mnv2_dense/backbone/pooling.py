"""Pools with a 3x3 window, padded as the convolutions beside them and dilated where those are."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mnv2_dense.backbone.blocks import Padding

WINDOW = 3


class MaxPool(nn.Module):
    """Largest value of a 3x3 window, at stride 2.

    Args:
        padding: `symmetric` (torchvision) or `same` (TensorFlow).
    """

    def __init__(self, padding: Padding = "symmetric") -> None:
        super().__init__()
        self.padding = padding

    def forward(self, features: Tensor) -> Tensor:
        """Feature map [B, C, ceil(H / 2), ceil(W / 2)]."""
        if self.padding == "symmetric":
            return F.max_pool2d(features, WINDOW, stride=2, padding=1)
        return F.max_pool2d(
            features, WINDOW, stride=2, padding=cells_before(features), ceil_mode=True
        )


class AveragePool(nn.Module):
    """Mean of a 3x3 window.

    Under `symmetric` the cells outside the map count as zeros, as PyTorch counts them; under
    `same` the mean is over those inside, as in TensorFlow.

    Args:
        stride: 1 or 2.
        dilation: Distance between the window's cells; above 1 the stride is 1.
        padding: `symmetric` (torchvision) or `same` (TensorFlow).
    """

    def __init__(
        self, *, stride: int = 1, dilation: int = 1, padding: Padding = "symmetric"
    ) -> None:
        super().__init__()
        self.stride = stride
        self.dilation = dilation
        self.padding = padding

    def forward(self, features: Tensor) -> Tensor:
        """Feature map [B, C, ceil(H / stride), ceil(W / stride)]."""
        if self.dilation > 1:
            return self._dilated(features)
        if self.padding == "symmetric":
            return F.avg_pool2d(features, WINDOW, self.stride, padding=1)
        before = cells_before(features) if self.stride == 2 else (1, 1)
        return F.avg_pool2d(
            features, WINDOW, self.stride, padding=before, ceil_mode=True, count_include_pad=False
        )

    def _dilated(self, features: Tensor) -> Tensor:
        # PyTorch has no such pool, and a convolution with equal weights would be counted as one.
        sums = sum_windows(features, self.dilation)
        if self.padding == "symmetric":
            return sums / WINDOW**2
        return sums / sum_windows(torch.ones_like(features[:1, :1]), self.dilation)


def cells_before(features: Tensor) -> tuple[int, int]:
    """Rows above and columns left of a map that TensorFlow's SAME adds, at stride 2.

    An odd side gets one cell at both ends, an even side one at its end, where `ceil_mode` cuts
    the window off.
    """
    height, width = features.shape[-2:]
    return height % 2, width % 2


def sum_windows(features: Tensor, dilation: int) -> Tensor:
    """Sum of the 3x3 cells around every cell of maps [B, C, H, W], `dilation` cells apart.

    Source: the atrous rule, for a window whose weights are all one.
    """
    for side, ends in ((-2, (0, 0, dilation, dilation)), (-1, (dilation, dilation))):
        cells, padded = features.shape[side], F.pad(features, ends)
        features = torch.stack(
            [padded.narrow(side, step * dilation, cells) for step in range(WINDOW)]
        ).sum(dim=0)
    return features
