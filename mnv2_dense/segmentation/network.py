"""The segmenter: backbone and head in one module, at one output stride or at two."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call

from mnv2_dense.backbone.backbone import Backbone
from mnv2_dense.segmentation.head import DeepLabV3Head, FCNHead
from mnv2_dense.segmentation.lraspp import LRASPPHead

MainHead = DeepLabV3Head | LRASPPHead
"""What predicts; its logits have the resolution of the finest map it reads."""


class SegmenterOutputs(NamedTuple):
    """What loss and decoding need of one batch.

    class_logits [B, C, h, w] in cells of the finest map that the head reads: DeepLabv3's only
    one, at the output stride, or Lite R-ASPP's finer one. auxiliary_logits [B, C, h', w'] in
    cells of the auxiliary head's map, or None where there is none or it did not run.
    """

    class_logits: Tensor
    auxiliary_logits: Tensor | None = None


class Segmenter(nn.Module):
    """Images to class logits in cells of the head's finest map, at any input size.

    Args:
        backbone: Returns feature maps by tap name.
        head: Predicts from those maps.
        auxiliary_head: Predicts from an earlier one, in training only.
    """

    backbone: Backbone
    head: MainHead
    auxiliary_head: FCNHead | None

    def __init__(
        self, backbone: Backbone, head: MainHead, auxiliary_head: FCNHead | None = None
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.auxiliary_head = auxiliary_head

    @property
    def class_layers(self) -> list[str]:
        """Names of the layers whose outputs are class logits."""
        auxiliary = [] if self.auxiliary_head is None else ["auxiliary_head.classifier"]
        return [f"head.{name}" for name in self.head.class_layers] + auxiliary

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
    cells through larger dilations. (Lite R-ASPP's logits keep the resolution of its finer map.)
    This is no module and holds no weights: those of the network it is called with are used,
    whatever they are at that moment.

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
