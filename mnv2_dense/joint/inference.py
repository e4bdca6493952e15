"""Pictures as both heads see them, and what the segmenter's head says of every pixel."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from mnv2_dense.ops.labels import places_of, shrunken_pixels
from mnv2_dense.ops.resize import resize_map
from mnv2_dense.segmentation.network import SegmenterOutputs
from mnv2_dense.segmentation.strips import LogitStrip, Strip
from mnv2_dense.structures import ImageSize


class WholePictures:
    """Every picture is resized to the network's input, as a detector's are, and seen once.

    Differs from the segmenter alone, whose pictures are padded, or seen through windows: of one
    pass of the backbone both heads get the same maps, and a detector must see whole pictures.

    Args:
        size: Of the network's input.
        align_corners: Whether the corner cells' centres lie on the corner pixels' centres of the
            input.
    """

    def __init__(self, size: ImageSize, *, align_corners: bool) -> None:
        self.size = size
        self.align_corners = align_corners

    def show(self, images: Tensor, sizes: Sequence[ImageSize]) -> Tensor:
        """Pictures on a canvas [B, C, H, W] brought to the input, their aspect not kept.

        Args:
            images: Each at the top left of the canvas.
            sizes: Of every picture; what the canvas holds beyond it is not looked at.
        """
        whole = (
            image[None, :, : size.height, : size.width]
            for image, size in zip(images, sizes, strict=True)
        )
        return torch.cat([resize_map(each, self.size, align_corners=False) for each in whole])

    def strips(self, outputs: SegmenterOutputs, sizes: Sequence[ImageSize]) -> Iterator[Strip]:
        """Every picture in one piece, at its own size.

        Args:
            outputs: Of the network, of pictures as `show` gives them.
            sizes: Of the pictures.
        """
        for position, (logits, size) in enumerate(zip(outputs.class_logits, sizes, strict=True)):
            rows, columns = (
                places_of(shrunken_pixels(length, side), side, cells, self.align_corners)
                for length, side, cells in zip(size, self.size, logits.shape[1:], strict=True)
            )
            yield LogitStrip(position, 0, 0, logits, rows, columns)
