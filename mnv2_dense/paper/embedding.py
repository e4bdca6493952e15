"""Points of the plane sent through n dimensions and a ReLU, and ways to bring them back.

No map here has a bias: a shift could lift every point above zero, where a ReLU is the identity,
and two dimensions would be enough.

Source: MobileNetV2 paper, section 3.2, Figure 1 and appendix A.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

STEPS = 200
LEARNING_RATE = 0.1


class SpiralNet(nn.Module):
    """Linear 2 -> n, ReLU, Linear n -> 2, in float64.

    Args:
        n: Dimensions between the two maps.
        generator: Draws the first weights.
    """

    def __init__(self, n: int, generator: torch.Generator) -> None:
        super().__init__()
        self.embedding = _linear(2, n, 1.0, generator)
        self.read_out = _linear(n, 2, 1 / math.sqrt(n), generator)

    def forward(self, points: Tensor) -> Tensor:
        """Points [N, 2] sent through n dimensions and back."""
        return self.read_out(F.relu(self.embedding(points)))


def _linear(inputs: int, outputs: int, scale: float, generator: torch.Generator) -> nn.Linear:
    # On "meta", torch's own initialisation draws nothing from the global generator.
    layer = nn.Linear(inputs, outputs, bias=False, device="meta", dtype=torch.float64)
    layer = layer.to_empty(device="cpu")
    nn.init.normal_(layer.weight, 0, scale, generator=generator)
    return layer


def make_spiral(count: int = 1000, turns: float = 2.0) -> Tensor:
    """Points [count, 2] along r = angle, float64, from the middle outwards.

    Their mean is 0 and their RMS distance from it 1, so the RMS error of what comes back is the
    relative one: a map that sends every point to the mean has error 1.
    """
    angle = torch.linspace(0, 2 * math.pi * turns, count, dtype=torch.float64)
    points = torch.stack((angle * angle.cos(), angle * angle.sin()), dim=1)
    points = points - points.mean(dim=0)
    return points / measure_error(points, torch.zeros_like(points))


def measure_error(points: Tensor, target: Tensor) -> float:
    """Root of the mean squared distance between points [N, 2] and where they should be."""
    return (points - target).square().sum(dim=1).mean().sqrt().item()


def random_embedding(n: int, generator: torch.Generator) -> Tensor:
    """A map T [n, 2] from the plane to n dimensions: independent standard normal entries."""
    return torch.randn(n, 2, generator=generator, dtype=torch.float64)


def embed(points: Tensor, embedding: Tensor) -> Tensor:
    """ReLU(T x) [N, n] of points [N, 2] and T [n, 2]."""
    return F.relu(points @ embedding.T)


def invert(embedded: Tensor, embedding: Tensor) -> Tensor:
    """Points [N, 2] from y [N, n] by the pseudo-inverse of T [n, 2], as if y were T x."""
    return embedded @ torch.linalg.pinv(embedding).T


def fit_scale(points: Tensor, target: Tensor) -> Tensor:
    """The points times the one factor that brings them nearest to the target, both [N, 2]."""
    return points * ((points * target).sum() / points.square().sum())


def read_out(embedded: Tensor, target: Tensor) -> Tensor:
    """The linear map of y [N, n] that comes nearest to the target [N, 2], by least squares."""
    return embedded @ (torch.linalg.pinv(embedded) @ target)


def find_lost(embedded: Tensor) -> Tensor:
    """Which points of the plane their y [N, n] does not determine: bool [N].

    Those with fewer than two positive coordinates: with one, a line of points looks alike, with
    none a whole sector. (Two suffice as the rows of T are independent, as random ones are.)
    Of a random T this is expected of a share (n + 1) / 2^n of all points.

    Source: MobileNetV2 paper, appendix A, Lemma 2.
    """
    return (embedded > 0).sum(dim=1) < 2


def train(points: Tensor, n: int, generator: torch.Generator, steps: int = STEPS) -> SpiralNet:
    """A network that learned to return its input, by Adam on all points [N, 2] at once."""
    network = SpiralNet(n, generator)
    optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE, fused=True)
    for _ in range(steps):
        optimizer.zero_grad()
        F.mse_loss(network(points), points).backward()
        optimizer.step()
    return network.requires_grad_(False)
