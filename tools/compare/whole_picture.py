"""How torchvision's reference script shows pictures to a segmenter: whole, at one scale."""

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms.v2.functional import resize

from mnv2_dense.ops.resize import resize_map
from mnv2_dense.segmentation.inference import Forward
from mnv2_dense.segmentation.strips import PixelStrip, Strip
from mnv2_dense.structures import ImageSize


class WholePicture:
    """A picture at once, resized so that its shorter side has a given length.

    The script counts pixels of masks that it resized with the picture. Here the logits are brought
    back to the picture's own size, so that all networks are measured on the same pixels.

    Args:
        shorter_side: In pixels.
        multiple_of: What the network sees is padded with the mean at the bottom and right to
            multiples of so many pixels; the logits there are cut off.

    Source: pytorch/vision, references/segmentation, presets.py, `SegmentationPresetEval`.
    """

    def __init__(self, shorter_side: int, multiple_of: int) -> None:
        self.shorter_side = shorter_side
        self.multiple_of = multiple_of

    @torch.no_grad()
    def __call__(
        self, forward: Forward, images: Tensor, sizes: Sequence[ImageSize]
    ) -> Iterator[Strip]:
        """Probabilities of every picture, in one strip; arguments as those of `Inference`."""
        for position, (image, size) in enumerate(zip(images, sizes, strict=True)):
            picture = image[None, :, : size.height, : size.width]
            shown = resize(picture, [self.shorter_side], antialias=True)
            height, width = shown.shape[-2:]
            logits = forward(self._pad(shown)).class_logits[..., :height, :width]
            (values,) = resize_map(logits, size, align_corners=False)
            yield PixelStrip(position, 0, 0, values.softmax(dim=0))

    def _pad(self, picture: Tensor) -> Tensor:
        """The picture over the mean, which is 0 in normalised pictures."""
        down, across = (-side % self.multiple_of for side in picture.shape[-2:])
        return F.pad(picture, (0, across, 0, down))
