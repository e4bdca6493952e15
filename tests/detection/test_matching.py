import pytest
import torch
from torch import Tensor

from mnv2_dense.detection import matching
from mnv2_dense.detection.matching import match_anchors

NOBODY = -1


def match(
    monkeypatch: pytest.MonkeyPatch,
    iou: list[list[float]],
    *,
    threshold: float = 0.5,
    force: bool = True,
) -> list[int]:
    """Matches of a given IoU matrix, one row per box and one column per anchor."""
    matrix = torch.tensor(iou)
    boxes, anchors = torch.zeros(len(matrix), 4), torch.zeros(matrix.shape[1], 4)

    def overlap(first: Tensor, second: Tensor) -> Tensor:
        assert first is boxes
        assert second is anchors
        return matrix

    monkeypatch.setattr(matching, "box_iou", overlap)
    images = torch.zeros(len(boxes), dtype=torch.int64)
    found = match_anchors(
        boxes, images, 1, anchors, match_iou_threshold=threshold, force_match=force
    )
    assert found.dtype == torch.int64
    (matches,) = found.tolist()
    return matches


def test_an_anchor_takes_the_box_it_overlaps_most(monkeypatch: pytest.MonkeyPatch) -> None:
    iou = [
        [0.9, 0.6, 0.1, 0.0],
        [0.2, 0.7, 0.8, 0.4],
    ]
    assert match(monkeypatch, iou) == [0, 1, 1, NOBODY]


def test_the_threshold_itself_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    iou = [[0.9, 0.5, 0.4999]]
    assert match(monkeypatch, iou) == [0, 0, NOBODY]
    assert match(monkeypatch, iou, threshold=0.95, force=False) == [NOBODY] * 3
    assert match(monkeypatch, iou, threshold=0) == [0, 0, 0]


def test_every_box_gets_its_best_anchor(monkeypatch: pytest.MonkeyPatch) -> None:
    iou = [
        [0.9, 0.1, 0.0],
        [0.0, 0.3, 0.2],
    ]
    assert match(monkeypatch, iou) == [0, 1, NOBODY]
    assert match(monkeypatch, iou, force=False) == [0, NOBODY, NOBODY]


def test_a_forced_match_displaces_a_better_overlap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Anchor 1 overlaps box 0 more, but it is the best that box 1 has."""
    iou = [
        [0.9, 0.8, 0.0],
        [0.1, 0.6, 0.5],
    ]
    assert match(monkeypatch, iou) == [0, 1, 1]
    assert match(monkeypatch, iou, force=False) == [0, 0, 1]


def test_of_two_boxes_that_claim_one_anchor_the_first_has_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    iou = [
        [0.0, 0.3],
        [0.1, 0.4],
        [0.9, 0.0],
    ]
    assert match(monkeypatch, iou) == [2, 0]


def test_the_first_wins_ties(monkeypatch: pytest.MonkeyPatch) -> None:
    """Box 1 ties with box 0 on every anchor: it claims anchor 0 too, and is left without."""
    iou = [
        [0.7, 0.7],
        [0.7, 0.7],
    ]
    assert match(monkeypatch, iou) == [0, 0]


def test_a_box_that_meets_no_anchor_takes_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    assert match(monkeypatch, [[0.0, 0.0, 0.0]]) == [0, NOBODY, NOBODY]


@pytest.mark.parametrize("force", [True, False])
@pytest.mark.parametrize("threshold", [0.5, 0.0])
def test_no_boxes_match_nothing(force: bool, threshold: float) -> None:
    anchors, nobody = torch.rand(3, 4), torch.zeros(0, dtype=torch.int64)
    found = match_anchors(
        torch.zeros(0, 4), nobody, 2, anchors, match_iou_threshold=threshold, force_match=force
    )
    assert found.tolist() == [[NOBODY] * 3] * 2


ANCHORS = torch.tensor([[0.0, 0, 4, 4], [4, 0, 8, 4], [0, 4, 4, 8]])
BOXES = torch.tensor([[4.0, 0, 8, 3], [1, 5, 3, 6]])  # IoU 0.75; 2 / 16


def test_real_boxes() -> None:
    images = torch.tensor([0, 0])
    assert match_anchors(BOXES, images, 1, ANCHORS).tolist() == [[NOBODY, 0, 1]]
    unforced = match_anchors(BOXES, images, 1, ANCHORS, force_match=False)
    assert unforced.tolist() == [[NOBODY, 0, NOBODY]]


def test_boxes_are_for_the_anchors_of_their_own_image() -> None:
    """The middle image has no box; a threshold of 0 gives it none either."""
    images = torch.tensor([0, 2])
    found = match_anchors(BOXES, images, 3, ANCHORS)
    assert found.tolist() == [[NOBODY, 0, NOBODY], [NOBODY] * 3, [NOBODY, NOBODY, 1]]
    every = match_anchors(BOXES, images, 3, ANCHORS, match_iou_threshold=0.0)
    assert every.tolist() == [[0] * 3, [NOBODY] * 3, [1] * 3]


@pytest.mark.parametrize("force", [True, False])
def test_a_batch_is_matched_as_its_images_alone(force: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    corners, sides = torch.rand(2, 60, 2, generator=generator)
    boxes = torch.cat([corners, corners + sides / 2], dim=1)
    anchors = torch.rand(50, 4, generator=generator).sort(dim=1).values
    images = torch.arange(5).repeat_interleave(torch.tensor([20, 0, 1, 36, 3]))
    together = match_anchors(boxes, images, 5, anchors, force_match=force)
    for position in range(5):
        own = (images == position).nonzero()[:, 0]
        alone = match_anchors(boxes[own], torch.zeros_like(own), 1, anchors, force_match=force)[0]
        expected = [own[match].item() if match != NOBODY else NOBODY for match in alone.tolist()]
        assert together[position].tolist() == expected
