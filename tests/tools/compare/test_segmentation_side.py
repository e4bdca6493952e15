from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mnv2_dense.config.loader import load_config
from mnv2_dense.shapes.dataset import generate
from tools.compare import segmentation_side
from tools.compare.product import RECIPES, shared_overrides
from tools.compare.runs import Run
from tools.compare.segmentation_peers import PeerKind, SegmentationPeer
from tools.compare.segmentation_side import shapes, train_peer


class Spy(nn.Module):
    """A classifier of pixels that keeps the sizes of what it is measured on."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 11, 1)
        self.measured: set[tuple[int, ...]] = set()

    def forward(self, images: Tensor) -> Tensor:
        if not self.training:
            self.measured.add(tuple(images.shape[-2:]))
        return self.layer(images)


@pytest.mark.parametrize(("recipe", "measured"), [("reference", 208), ("product", 192)])
def test_a_peer_is_measured_at_its_recipes_scale(
    recipe: str, measured: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generate(tmp_path / "shapes", train_images=2, val_images=2, size=256)
    spy = Spy()

    def build(_classes: int, _weights: Any) -> SegmentationPeer:
        return SegmentationPeer(spy, weight_decay=0)

    def count(_peer: Any, _size: int) -> tuple[int, int]:
        return 1, 2

    monkeypatch.setattr(segmentation_side, "PEERS", {"spy": PeerKind(build, mobilenet_v2=False)})
    monkeypatch.setattr(segmentation_side, "_count", count)
    run = Run("segmentation", "shapes", "random", "spy", recipe, 0, steps=1, batch=2, size=192)
    overrides = [*shared_overrides(run, tmp_path), *shapes(tmp_path / "shapes")]
    torch.manual_seed(0)
    outcome = train_peer(run, load_config(RECIPES / "segmentation.yaml", overrides), None)
    assert spy.measured == {(measured, measured)}
    assert 0 <= outcome.scores["mIoU"] < 1
