import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mnv2_dense.exporting.rounding import LEVELS, round_weights
from mnv2_dense.prediction.network import DeployedSegmenter
from mnv2_dense.segmentation.network import SegmenterOutputs


class OneLayer(nn.Module):
    """A 1x1 convolution of pictures, their third channel dead."""

    def __init__(self, groups: int, *, bias: bool) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 6, 1, groups=groups, bias=bias).requires_grad_(False)
        self.layer.weight[5] = 0

    def forward(self, images: Tensor) -> SegmenterOutputs:
        return SegmenterOutputs(self.layer(images))


def of_one_layer(groups: int = 1, *, bias: bool = True) -> DeployedSegmenter:
    torch.manual_seed(0)
    return DeployedSegmenter(OneLayer(groups, bias=bias), (9.0, 9.0, 9.0), (99.0, 99.0, 99.0))


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (4, 8, 9, 3), np.uint8)


def weight_of(deployed: DeployedSegmenter) -> Tensor:
    return deployed.network.get_parameter("layer.weight")[:, :, 0, 0]


@pytest.mark.parametrize("levels", [LEVELS, 5])
def test_weights_lie_on_a_grid_that_ends_at_the_largest(pictures: np.ndarray, levels: int) -> None:
    before, after = of_one_layer(), round_weights(of_one_layer(), pictures, lambda groups: levels)
    assert isinstance(after, DeployedSegmenter)
    largest = weight_of(before).abs().amax(dim=1)
    torch.testing.assert_close(weight_of(after).abs().amax(dim=1), largest)
    steps = weight_of(after)[:5] / (largest[:5, None] / levels)
    torch.testing.assert_close(steps, steps.round(), atol=1e-4, rtol=0)
    assert not torch.equal(weight_of(before), weight_of(after))
    assert torch.equal(weight_of(after)[5], torch.zeros(3))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("groups", [1, 3])
def test_the_mean_of_every_channel_stays(pictures: np.ndarray, groups: int, bias: bool) -> None:
    before = of_one_layer(groups, bias=bias)
    # In three groups a weight is alone in its channel: it is the largest, and exact.
    after = round_weights(before, pictures, lambda groups: 2)
    images = torch.from_numpy(pictures)
    means = [deployed(images).mean(dim=(0, 2, 3)) for deployed in (before, after)]
    torch.testing.assert_close(means[0], means[1])
    assert groups == 3 or not torch.allclose(before(images), after(images), atol=0.01)


def test_levels_are_chosen_by_groups(pictures: np.ndarray) -> None:
    seen: list[int] = []
    round_weights(of_one_layer(3), pictures, lambda groups: seen.append(groups) or LEVELS)
    assert seen == [3]
