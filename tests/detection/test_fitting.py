import math
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from mnv2_dense.detection import fitting
from mnv2_dense.detection.anchors import AnchorGenerator, AnchorSettings
from mnv2_dense.detection.fitting import AnchorGrid, fit_anchors, match_quality, network_boxes
from mnv2_dense.detection.index import BoxReport, DetectionIndex
from mnv2_dense.ops.boxes import center_to_corner
from mnv2_dense.ops.texts import SharedTexts
from mnv2_dense.structures import Category, ImageSize

CPU = torch.device("cpu")
CELLS = [ImageSize(8, 8), ImageSize(4, 4), ImageSize(2, 2)]
SIZE = ImageSize(128, 128)
RELEASE = AnchorSettings(AnchorGenerator(3).scales, (1.0, 2.0, 0.5, 3.0, 0.3333), True, 0.1)


def boxes_of(seed: int, count: int = 200, *, scale: float = 0.15, ratio: float = 1.0) -> Tensor:
    """Boxes around one scale and ratio, inside the picture, in shares."""
    generator = torch.Generator().manual_seed(seed)
    spread = torch.exp(torch.randn(count, 2, generator=generator) * 0.2)
    sides = spread * torch.tensor([scale * math.sqrt(ratio), scale / math.sqrt(ratio)])
    centers = torch.rand(count, 2, generator=generator)
    return center_to_corner(torch.cat([centers, sides], dim=1)).clamp(0, 1)


def test_best_ious_by_hand() -> None:
    anchors = torch.tensor([[0.25, 0.25, 0.5, 0.5], [0.75, 0.75, 0.5, 0.5]])
    boxes = torch.tensor([[0.0, 0.0, 0.5, 0.5], [0.5, 0.5, 1.0, 0.75], [0.0, 0.5, 0.5, 1.0]])
    found = match_quality(boxes, anchors, 0.5)
    assert found.best_ious.tolist() == [1.0, 0.5, 0.0]
    assert found.matched_share == pytest.approx(2 / 3)
    assert found.mean_best_iou == pytest.approx(0.5)
    assert match_quality(boxes, anchors, 0.51).matched_share == pytest.approx(1 / 3)


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    boxes, anchors = boxes_of(0, 50), RELEASE.generator()(CELLS, SIZE, CPU)
    whole = match_quality(boxes, anchors)
    for most in (1, 3 * len(anchors)):
        monkeypatch.setattr(fitting, "MAX_IOUS", most)
        assert torch.equal(match_quality(boxes, anchors).best_ious, whole.best_ious)


def test_no_boxes_have_no_share() -> None:
    found = match_quality(torch.empty(0, 4), torch.rand(3, 4))
    assert len(found.best_ious) == 0
    assert math.isnan(found.matched_share)
    assert math.isnan(found.mean_best_iou)
    none = match_quality(torch.tensor([[0.0, 0.0, 0.5, 0.5]]), torch.rand(1, 4) * 0 + 0.9, 0.99)
    assert none.matched_share == 0


@given(
    seed=st.integers(0, 1000),
    size=st.sampled_from([SIZE, ImageSize(96, 160), ImageSize(160, 96)]),
    scale=st.floats(0.02, 0.9),
    ratio=st.floats(0.2, 5),
    reduce=st.booleans(),
)
def test_the_grid_finds_what_every_anchor_gives(
    seed: int, size: ImageSize, scale: float, ratio: float, *, reduce: bool
) -> None:
    boxes = boxes_of(seed, 30, scale=scale, ratio=ratio)
    cells = [ImageSize(6, 9), ImageSize(3, 5), ImageSize(1, 1)]
    settings = AnchorSettings((0.1, 0.4, 0.9), (1.0, ratio), reduce, 0.05)
    expected = match_quality(boxes, settings.generator()(cells, size, CPU)).best_ious
    found = AnchorGrid(boxes, cells, size).best_ious(settings)
    torch.testing.assert_close(found.float(), expected, atol=1e-5, rtol=0)


def test_the_grid_forgets_what_it_was_asked_before() -> None:
    grid = AnchorGrid(boxes_of(1), CELLS, SIZE)
    first = grid.best_ious(RELEASE)
    other = RELEASE._replace(scales=(0.1, 0.2, 0.3))
    assert not torch.equal(grid.best_ious(other), first)
    assert torch.equal(grid.best_ious(RELEASE), first)


@pytest.mark.parametrize(("scale", "ratio"), [(0.08, 1.0), (0.2, 0.25), (0.5, 3.0)])
def test_fitted_anchors_match_more(scale: float, ratio: float) -> None:
    boxes = boxes_of(2, scale=scale, ratio=ratio)
    fitted = fit_anchors(boxes, RELEASE, CELLS, SIZE, threshold=0.6)
    before, after = (
        match_quality(boxes, each.generator()(CELLS, SIZE, CPU), 0.6) for each in (RELEASE, fitted)
    )
    assert after.matched_share > before.matched_share + 0.04
    assert list(fitted.scales) == sorted(set(fitted.scales))
    assert fitted.generator().counts == RELEASE.generator().counts
    assert fitted == fit_anchors(boxes, RELEASE, CELLS, SIZE, threshold=0.6)


def test_what_cannot_be_better_is_kept() -> None:
    """Every box is an anchor, so every IoU is 1."""
    boxes = center_to_corner(RELEASE.generator()(CELLS, SIZE, CPU))
    assert fit_anchors(boxes, RELEASE, CELLS, SIZE) == RELEASE


@pytest.mark.parametrize("ratios", [1, 3, 7])
def test_as_many_ratios_as_are_asked_for(ratios: int) -> None:
    fitted = fit_anchors(boxes_of(3, scale=0.06), RELEASE, CELLS, SIZE, ratios=ratios)
    assert len(fitted.aspect_ratios) == ratios
    assert fitted.generator().counts == [3, ratios + 1, ratios + 1]


@pytest.mark.parametrize("side", [0.001, 0.3, 1.0])
def test_boxes_of_one_size_give_scales_that_grow(side: float) -> None:
    boxes = torch.tensor([[0.0, 0.0, side, side]] * 3)
    fitted = fit_anchors(boxes, RELEASE, CELLS, SIZE)
    assert all(0 < scale <= 1 for scale in fitted.scales)
    assert list(fitted.scales) == sorted(set(fitted.scales))


@pytest.mark.parametrize(("scale", "spread"), [(0.5, 0.02), (0.3, 0.05), (0.98, 0.01)])
def test_levels_stay_apart(scale: float, spread: float) -> None:
    """Boxes of nearly one size draw all levels to it."""
    generator = torch.Generator().manual_seed(5)
    sides = scale * torch.exp(torch.randn(200, 1, generator=generator) * spread)
    centers = sides / 2 + (1 - sides) * torch.rand(200, 2, generator=generator)
    boxes = center_to_corner(torch.cat([centers, sides.expand(-1, 2)], dim=1)).clamp(0, 1)
    scales = fit_anchors(boxes, RELEASE, CELLS, SIZE, threshold=0.7).scales
    assert scales != RELEASE.scales
    apart = [round(following - each, 4) for each, following in pairwise(scales)]
    assert min(apart) >= fitting.LEAST_GROWTH


def test_progress_is_told() -> None:
    lines: list[str] = []
    fit_anchors(boxes_of(4, 10), RELEASE, CELLS, SIZE, progress=lines.append)
    assert len(lines) == 2
    assert all("matched" in line for line in lines)


def test_boxes_as_the_network_gets_them() -> None:
    """The second image is 100 x 400; its first box is half a pixel wide at an input of 50."""
    boxes = [[0, 0, 10, 20], [10, 10, 11, 400], [50, 100, 100, 400]]
    index = DetectionIndex(
        Path("images"),
        (Category(1, "a"),),
        BoxReport("a.json", 0, 0, (), ()),
        image_ids=torch.tensor([1, 2, 3]),
        sizes=torch.tensor([[40, 20], [400, 100], [9, 9]]),
        boxes=torch.tensor(boxes, dtype=torch.float32),
        labels=torch.zeros(3, dtype=torch.int64),
        box_offsets=torch.tensor([0, 1, 3, 3]),
        file_names=SharedTexts(["a", "b", "c"]),
    )
    found = network_boxes(index, ImageSize(50, 50))
    assert found.shares.tolist() == [[0, 0, 0.5, 0.5], [0.5, 0.25, 1, 1]]
    assert found.areas.tolist() == [200, 15000]
    assert found.left == 1
    assert network_boxes(index, ImageSize(50, 101)).left == 0
