import pytest
import torch
from torch import Tensor, nn

from mnv2_dense.structures import BoxTargets
from tools.compare.detection_recipes import own_loss, reference_factor


def test_warm_up_then_half_a_cosine() -> None:
    factors = [reference_factor(step, steps=100, warm_up=10) for step in (0, 5, 10, 50, 100)]
    assert factors[0] == pytest.approx(0.001)
    assert factors[1] == pytest.approx(0.5005 * 0.99384, abs=1e-4)
    assert factors[2] == pytest.approx(0.97553, abs=1e-4)
    assert factors[3:] == pytest.approx([0.5, 0.0])


class Recorder(nn.Module):
    """Keeps what a detector of torchvision is given."""

    def forward(self, images: list[Tensor], targets: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        self.given = images, targets
        return {"classification": torch.tensor(1.5), "bbox_regression": torch.tensor(2.0)}


def test_peers_are_given_shares_of_255_and_labels_behind_their_background() -> None:
    network = Recorder()
    image = torch.full((3, 2, 2), 51, dtype=torch.uint8)
    boxes = BoxTargets(torch.tensor([[0.0, 0.0, 1.0, 2.0]]), torch.tensor([0]))
    loss = own_loss(network, [(image, boxes)])  # pyrefly: ignore[bad-argument-type]
    assert loss.item() == 3.5
    ((given,), (target,)) = network.given
    assert torch.allclose(given, torch.tensor(0.2))
    assert target["labels"].tolist() == [1]
    assert target["boxes"].tolist() == [[0, 0, 1, 2]]
