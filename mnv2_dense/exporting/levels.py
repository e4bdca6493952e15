"""A detector up to its raw maps, where the graphs of the formats begin to decode."""

from torch import Tensor, nn
from typing_extensions import override

from mnv2_dense.detection.network import Detector


class Levels(nn.Module):
    """A detector's network that ends before its maps are put in the order of the anchors."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        assert isinstance(network, Detector)
        self.network = network

    @override
    def forward(self, images: Tensor) -> list[Tensor]:
        head = self.network.head
        features = self.network.backbone(images)
        levels = [features[name] for name in head.tap_names]
        for extra in head.extras:
            levels.append(extra(levels[-1]))
        return [
            branch(level)
            for branches in (head.class_branches, head.box_branches)
            for branch, level in zip(branches, levels, strict=True)
        ]
