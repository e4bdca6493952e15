"""The segmenter: backbone and head in one module, at one output stride or at two."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from mnv2_dense.backbone.mobilenet_v2 import MobileNetV2
from mnv2_dense.segmentation.head import DeepLabV3Head, FCNHead
from mnv2_dense.structures import ImageSize


class SegmenterOutputs(NamedTuple):
    """What loss and decoding need of one batch.

    class_logits [B, C, h, w] in cells of the output stride; auxiliary_logits [B, C, h', w'] of
    the auxiliary head, or None where there is none or it did not run.
    """

    class_logits: Tensor
    auxiliary_logits: Tensor | None = None


class DeepLabV3(nn.Module):
    """Images to class logits at the output stride, at any input size.

    Args:
        backbone: Returns feature maps by tap name.
        head: Predicts from those maps.
        auxiliary_head: Predicts from an earlier one, in training only.
    """

    backbone: MobileNetV2
    head: DeepLabV3Head
    auxiliary_head: FCNHead | None

    def __init__(
        self, backbone: MobileNetV2, head: DeepLabV3Head, auxiliary_head: FCNHead | None = None
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.auxiliary_head = auxiliary_head

    def forward(self, images: Tensor) -> SegmenterOutputs:
        """Predictions for images [B, 3, H, W] (normalised RGB)."""
        features = self.backbone(images)
        auxiliary = self.auxiliary_head if self.training else None
        return SegmenterOutputs(
            self.head(features), None if auxiliary is None else auxiliary(features)
        )


class OtherStride:
    """Runs a network's present weights at another output stride than its own.

    The paper trains at output stride 16 and evaluates at 8, where the same weights see more
    cells through larger dilations. This is no module and holds no weights: those of the network
    it is called with are used, whatever they are at that moment.

    Args:
        structure: The same network built for the other output stride, on the meta device.

    Source: paper, section 6.3, Table 7.
    """

    def __init__(self, structure: nn.Module) -> None:
        self.structure = structure.eval()
        self._shapes = _shapes(_tensors(structure))

    @torch.no_grad()
    def __call__(self, network: nn.Module, images: Tensor) -> SegmenterOutputs:
        """Predictions in evaluation mode, without gradients.

        Args:
            network: Whose weights and running statistics are used; its mode does not matter.
            images: [B, 3, H, W] (normalised RGB).

        Raises:
            ValueError: The network has other weights than the structure.
        """
        tensors = _tensors(network)
        shapes = _shapes(tensors)
        if shapes != self._shapes:
            names = sorted({name for name, _ in shapes.items() ^ self._shapes.items()})
            shown = ", ".join(names[:3]) + (" ..." if len(names) > 3 else "")
            raise ValueError(f"a network of other weights than the structure's: {shown}")
        return functional_call(self.structure, tensors, (images,), strict=True)


def _tensors(network: nn.Module) -> dict[str, Tensor]:
    return {**dict(network.named_parameters()), **dict(network.named_buffers())}


def _shapes(tensors: dict[str, Tensor]) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in tensors.items()}


def resize_map(maps: Tensor, size: ImageSize, align_corners: bool) -> Tensor:
    """Maps [B, C, h, w] resized bilinear to [B, C, *size], in float32.

    Args:
        maps: Logits or normalised pictures.
        size: Of the result.
        align_corners: Whether the corner cells' centres lie on the corner pixels' centres.
    """
    return F.interpolate(maps.float(), tuple(size), mode="bilinear", align_corners=align_corners)
