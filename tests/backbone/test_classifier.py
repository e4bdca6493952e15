import pytest
import torch
from torch import Tensor, nn

from mnv2_dense.backbone.backbone import Backbone
from mnv2_dense.backbone.classifier import Classifier
from mnv2_dense.backbone.mobilenet_v1 import MobileNetV1
from mnv2_dense.backbone.mobilenet_v2 import MobileNetV2
from mnv2_dense.structures import FeatureSpec


class Channels(Backbone):
    """The picture itself, and a map whose values are read from the test."""

    specs = (FeatureSpec("fine", 3, 1), FeatureSpec("coarse", 2, 2))

    def __init__(self, coarse: Tensor) -> None:
        super().__init__()
        self.coarse = coarse

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        return {"fine": images, "coarse": self.coarse}


def test_logits_by_hand() -> None:
    coarse = torch.tensor([[[[1.0, 2.0], [3.0, 6.0]], [[0.0, 0.0], [0.0, 4.0]]]])  # means 3 and 1
    network = Classifier(Channels(coarse), num_classes=2).eval()
    with torch.no_grad():
        network.classifier.weight.copy_(torch.tensor([[1.0, 10.0], [2.0, -1.0]]))
        network.classifier.bias.copy_(torch.tensor([0.5, 0.0]))
    torch.testing.assert_close(network(torch.zeros(1, 3, 4, 4)), torch.tensor([[13.5, 5.0]]))


def test_dropout_acts_on_pooled_features_in_training_only() -> None:
    network = Classifier(Channels(torch.ones(1, 2, 4, 4)), num_classes=4, dropout=0.5)
    with torch.no_grad():
        network.classifier.weight.fill_(1)
    torch.manual_seed(0)
    # A kept feature counts twice; a cell-wise dropout would give fractions of it.
    found = {network(torch.zeros(1, 3, 4, 4))[0, 0].item() for _ in range(30)}
    assert found == {0, 2, 4}
    assert network.eval()(torch.zeros(1, 3, 4, 4)).tolist() == [[2, 2, 2, 2]]


@pytest.mark.parametrize(
    ("backbone", "channels"),
    [
        (MobileNetV2(("last",), width_mult=0.35), 1280),
        (MobileNetV1(("Conv2d_13",), width_mult=0.25), 256),
    ],
    ids=["mobilenet_v2", "mobilenet_v1"],
)
def test_any_backbone_and_input_size(backbone: Backbone, channels: int) -> None:
    network = Classifier(backbone, num_classes=7).eval()
    assert network.classifier.in_features == channels
    for size in ((32, 32), (1, 45)):
        assert network(torch.zeros(2, 3, *size)).shape == (2, 7)


def test_a_batch_equals_its_pictures() -> None:
    network = Classifier(MobileNetV1(("Conv2d_13",), width_mult=0.25)).eval()
    images = torch.randn(3, 3, 32, 32)
    singles = torch.cat([network(image[None]) for image in images])
    torch.testing.assert_close(network(images), singles)


def test_every_parameter_is_trained() -> None:
    network = Classifier(MobileNetV2(("last",), width_mult=0.1), num_classes=3)
    nn.functional.cross_entropy(network(torch.randn(2, 3, 64, 64)), torch.tensor([0, 2])).backward()
    assert [name for name, p in network.named_parameters() if p.grad is None] == []
