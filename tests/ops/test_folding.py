import pytest
import torch
from torch import nn

from mnv2_dense.backbone.blocks import InvertedResidual, Padding, SamePadConv2d
from mnv2_dense.ops.folding import fold_norms


def randomized(network: nn.Module) -> nn.Module:
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for values in (module.weight, module.bias, module.running_mean):
                assert values is not None
                nn.init.normal_(values)
            assert module.running_var is not None
            nn.init.uniform_(module.running_var, 0.5, 2)
    return network.eval()


@pytest.mark.parametrize("padding", ["symmetric", "same"])
def test_the_folded_network_computes_the_same_without_norms(padding: Padding) -> None:
    block = randomized(InvertedResidual(8, 12, expansion=3, stride=2, padding=padding))
    folded = fold_norms(block)
    assert not [each for each in folded.modules() if isinstance(each, nn.BatchNorm2d)]
    features = torch.randn(2, 8, 10, 13)
    torch.testing.assert_close(folded(features)[0], block(features)[0], rtol=1e-4, atol=1e-4)
    kept = [type(each) for each in folded.modules() if isinstance(each, nn.Conv2d)]
    assert (SamePadConv2d in kept) == (padding == "same")


def test_activations_compute_in_place_where_the_network_of_origin_does_not() -> None:
    network = randomized(nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.ReLU6()))
    folded = fold_norms(network)
    for each, in_place in ((network, False), (folded, True)):
        (activation,) = (module for module in each.modules() if isinstance(module, nn.ReLU6))
        assert activation.inplace == in_place


def test_the_network_itself_is_not_changed() -> None:
    network = randomized(nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    fold_norms(network)
    assert network.training
    assert isinstance(network[1], nn.BatchNorm2d)  # pyrefly: ignore[bad-index]  a Sequential
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])


def test_norms_that_do_more_or_follow_no_convolution_stay() -> None:
    class NormAct(nn.BatchNorm2d):
        def forward(self, input: torch.Tensor) -> torch.Tensor:
            return super().forward(input).relu()

    network = randomized(
        nn.Sequential(nn.Conv2d(3, 4, 1), NormAct(4), nn.ReLU(), nn.BatchNorm2d(4))
    )
    folded = fold_norms(network)
    images = torch.randn(1, 3, 5, 5)
    assert torch.equal(folded(images), network(images))
    assert len([each for each in folded.modules() if isinstance(each, nn.BatchNorm2d)]) == 2
