import numpy as np
import pytest
import torch
from torch import nn

from mnv2_dense.benchmarking.prediction.random_weights import (
    fit_candidates,
    fit_norms,
    set_candidates,
    set_mixture,
)
from mnv2_dense.errors import UserError

ANCHORS, SLOTS, SIDE, DEPTH = 2, 5, 12, 8
WANTED = {0.01: 400, 0.3: 30}


class Head(nn.Module):
    """Class logits of one level."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.branch = nn.Sequential(
            nn.Conv2d(DEPTH, DEPTH, 3, groups=DEPTH), nn.Conv2d(DEPTH, ANCHORS * SLOTS, 1)
        )

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.branch(features).permute(0, 2, 3, 1).reshape(1, -1, SLOTS)


def test_a_head_gives_the_wanted_candidates() -> None:
    head, features = Head(), torch.randn(1, DEPTH, SIDE + 2, SIDE + 2)
    with torch.no_grad():
        set_candidates([head.branch], head(features), WANTED)
        scores = head(features).softmax(-1)[..., 1:]
    for score, count in WANTED.items():
        assert int((scores >= score).sum()) == pytest.approx(count, rel=0.2)


def test_a_picture_that_is_the_same_everywhere_is_refused() -> None:
    with pytest.raises(UserError, match="give another one"):
        fit_candidates(np.tile([0.0, 1.0, -1.0], (4000, 1)), WANTED)


def test_norms_are_fitted_to_the_picture() -> None:
    network = nn.Sequential(nn.BatchNorm2d(3), nn.BatchNorm2d(3))
    images = 5 + 3 * torch.randn(2, 3, 16, 16)
    fit_norms(network, images)
    with torch.no_grad():
        values = network(images)
    assert not network.training
    assert values.mean().abs() < 0.01
    assert values.std() == pytest.approx(1, abs=0.01)
    assert all(each.momentum == 0.1 for each in network if isinstance(each, nn.BatchNorm2d))


@pytest.mark.parametrize("wanted", [0.1, 0.4])
def test_a_segmenter_gives_several_classes_between_some_cells(wanted: float) -> None:
    torch.manual_seed(0)
    classifier, features = nn.Conv2d(DEPTH, SLOTS, 1), torch.randn(1, DEPTH, 40, 40)
    with torch.no_grad():
        set_mixture(classifier, classifier(features), wanted)
        best = classifier(features)[0].argmax(0)
    corners = torch.stack([best[:-1, :-1], best[:-1, 1:], best[1:, :-1], best[1:, 1:]])
    assert float((corners != corners[0]).any(0).float().mean()) == pytest.approx(wanted, abs=0.01)
    assert len(best.unique()) > 2
    assert int(best.flatten().mode().values) == 0


def test_a_segmenter_of_one_colour_is_refused() -> None:
    classifier = nn.Conv2d(DEPTH, SLOTS, 1)
    with pytest.raises(UserError, match="no label map for this picture; give another one"):
        set_mixture(classifier, torch.ones(1, SLOTS, 5, 5))
