import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from mnv2_dense.backbone.mobilenet_v2 import MobileNetV2Classifier
from mnv2_dense.ops.count import count_layers
from mnv2_dense.structures import ImageSize


class Toy(nn.Module):
    """Grouped, strided, dilated and transposed shapes, and a layer that runs twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.grouped = nn.Conv2d(8, 8, (3, 5), groups=4, padding=(2, 2), dilation=(2, 1))
        self.norm = nn.BatchNorm2d(8)
        self.twice = nn.Conv2d(8, 8, 1, bias=False)
        self.linear = nn.Linear(8, 5)

    def forward(self, images: Tensor) -> Tensor:
        features = self.norm(self.grouped(self.first(images)))
        return self.linear(self.twice(self.twice(features)).mean(dim=(2, 3)))


def counted_by_torch(network: nn.Module, size: ImageSize) -> int:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network.eval()(torch.zeros(1, 3, *size))
    flops, remainder = divmod(counter.get_total_flops(), 2)
    assert remainder == 0
    return flops


@pytest.mark.parametrize("size", [ImageSize(32, 32), ImageSize(17, 40)])
def test_multiply_adds_are_half_of_torchs_flops(size: ImageSize) -> None:
    for network in (Toy(), MobileNetV2Classifier(10, width_mult=0.1)):
        rows = count_layers(network, size)
        assert sum(row.multiply_adds for row in rows) == counted_by_torch(network, size)


def test_rows_by_hand() -> None:
    rows = count_layers(Toy(), ImageSize(8, 6))
    assert [(r.name, r.kind, r.output_shape, r.parameters, r.multiply_adds) for r in rows] == [
        ("first", "Conv2d", (1, 8, 4, 3), 3 * 8 * 9 + 8, 3 * 8 * 9 * 12),
        ("grouped", "Conv2d", (1, 8, 4, 3), 8 * 2 * 15 + 8, 8 * 2 * 15 * 12),
        ("norm", "BatchNorm2d", (1, 8, 4, 3), 16, 0),
        ("twice", "Conv2d", (1, 8, 4, 3), 64, 64 * 12),
        ("twice", "Conv2d", (1, 8, 4, 3), 0, 64 * 12),
        ("linear", "Linear", (1, 5), 45, 40),
    ]


def test_counting_leaves_the_network_as_it_was() -> None:
    network = Toy()
    network.norm.eval()  # frozen norms
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    count_layers(network, ImageSize(8, 8))
    assert network.training
    assert not network.norm.training
    assert not any(layer._forward_hooks for layer in network.modules())
    assert all(torch.equal(before[name], t) for name, t in network.state_dict().items())


def test_frozen_parameters_are_not_counted() -> None:
    network = Toy()
    network.first.requires_grad_(False)
    assert count_layers(network, ImageSize(8, 8))[0].parameters == 0
