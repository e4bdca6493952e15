from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import nms, sigmoid_focal_loss

from mnv2_dense.detection.anchors import AnchorGenerator
from mnv2_dense.detection.coding import decode_boxes, encode_boxes
from mnv2_dense.detection.data import join_targets
from mnv2_dense.detection.loss import Classification, LossTerms, SSDLoss
from mnv2_dense.detection.network import DetectorOutputs
from mnv2_dense.ops.boxes import center_to_corner
from mnv2_dense.structures import BoxTargets, ImageSize
from tests.ops.process_group import run_processes

SIZE = ImageSize(64, 96)
SLOTS = 4
ALL = get_args(Classification)
MINED = ("softmax", "sigmoid")


def all_anchors() -> Tensor:
    cells = [ImageSize(4, 6), ImageSize(2, 3), *[ImageSize(1, 1)] * 4]
    return AnchorGenerator()(cells, SIZE, torch.device("cpu"))


def boxes(*rows: tuple[float, float, float, float], labels: tuple[int, ...] = ()) -> BoxTargets:
    numbers = labels or tuple(range(len(rows)))
    return BoxTargets(torch.tensor(rows).reshape(-1, 4), torch.tensor(numbers, dtype=torch.int64))


NOTHING = boxes()
SCENES = [
    boxes((4, 4, 40, 44), (50, 10, 90, 60), labels=(2, 0)),
    NOTHING,
    boxes((10, 20, 30, 36), (10, 20, 31, 36), (0, 0, 96, 64), labels=(1, 1, 2)),
]
FIRST, ALL_SCENES = join_targets(SCENES[:1]), join_targets(SCENES)


def random_outputs(images: int, seed: int = 0) -> DetectorOutputs:
    generator = torch.Generator().manual_seed(seed)
    anchors = all_anchors()
    logits = torch.randn(images, len(anchors), SLOTS, generator=generator) * 2
    deltas = torch.randn(images, len(anchors), 4, generator=generator)
    return DetectorOutputs(logits.requires_grad_(), deltas.requires_grad_(), anchors)


def single(outputs: DetectorOutputs, index: int) -> DetectorOutputs:
    part = slice(index, index + 1)
    return outputs._replace(
        class_logits=outputs.class_logits[part], box_deltas=outputs.box_deltas[part]
    )


# The same loss, one anchor at a time.


def overlap(first: list[float], second: list[float]) -> float:
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    shared = max(width, 0) * max(height, 0)
    areas = [(b[2] - b[0]) * (b[3] - b[1]) for b in (first, second)]
    return shared / (sum(areas) - shared)


def slow_matches(target: BoxTargets, anchors: Tensor) -> list[int]:
    corners = (center_to_corner(anchors) * torch.tensor([96, 64, 96, 64])).tolist()
    matrix = [[overlap(box, corner) for corner in corners] for box in target.boxes.tolist()]
    found = []
    for column in range(len(corners)):
        values = [row[column] for row in matrix]
        found.append(values.index(max(values)) if values and max(values) >= 0.5 else -1)
    for number in reversed(range(len(matrix))):
        found[matrix[number].index(max(matrix[number]))] = number
    return found


def slow_class_loss(kind: str, logits: Tensor, slot: int) -> Tensor:
    if kind == "softmax":
        return -logits.log_softmax(dim=0)[slot]
    wanted = torch.zeros(len(logits))
    if kind == "sigmoid":
        wanted[slot] = 1
        chance = logits.sigmoid()
        return -(wanted * chance.log() + (1 - wanted) * (1 - chance).log()).sum()
    if slot > 0:
        wanted[slot] = 1
    return sigmoid_focal_loss(logits, wanted, alpha=0.25, gamma=2, reduction="sum")


def slow_loss(
    kind: str, outputs: DetectorOutputs, targets: list[BoxTargets], nms_iou: float | None = None
) -> LossTerms:
    class_sum, box_sum, matched = torch.tensor(0.0), torch.tensor(0.0), 0
    for logits, deltas, target in zip(*outputs[:2], targets, strict=True):
        matches = slow_matches(target, outputs.anchors)
        slots = [0 if m < 0 else int(target.labels[m]) + 1 for m in matches]
        losses = [slow_class_loss(kind, row, slot) for row, slot in zip(logits, slots, strict=True)]
        considered = list(range(len(slots)))
        if nms_iou is not None:
            corners = center_to_corner(decode_boxes(deltas, outputs.anchors))
            considered = nms(corners, torch.stack(losses), nms_iou).tolist()
        positives = [i for i in considered if slots[i]]
        hardest = sorted(considered, key=lambda i: -losses[i].item())
        negatives = [i for i in hardest if not slots[i]]
        if kind != "focal":
            negatives = negatives[: max(3 * len(positives), 3)]
        class_sum = class_sum + sum(losses[i] for i in positives + negatives)
        for i in positives:
            box = target.boxes[matches[i]] / torch.tensor([96, 64, 96, 64])
            center = torch.cat([(box[:2] + box[2:]) / 2, box[2:] - box[:2]])
            error = (deltas[i] - encode_boxes(center, outputs.anchors[i])).abs()
            box_sum = box_sum + torch.where(error < 1, error**2 / 2, error - 0.5).sum()
        matched += sum(slot > 0 for slot in slots)
    return LossTerms(class_sum / max(matched, 1), box_sum / max(matched, 1))


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("kind", ALL)
def test_loss_equals_a_loop_over_anchors(kind: Classification, seed: int) -> None:
    outputs = random_outputs(3, seed)
    expected = slow_loss(kind, outputs, SCENES)
    found = SSDLoss(classification=kind)(outputs, ALL_SCENES, SIZE)
    torch.testing.assert_close(found.classification, expected.classification)
    torch.testing.assert_close(found.localization, expected.localization)
    fast = torch.autograd.grad(found.total, outputs[:2])
    slow = torch.autograd.grad(expected.total, outputs[:2])
    torch.testing.assert_close(fast, slow, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", MINED)
@pytest.mark.parametrize("nms_iou", [0.3, 0.99])
def test_near_copies_count_once_where_an_nms_is_asked_for(
    kind: Classification, nms_iou: float
) -> None:
    outputs = random_outputs(3)
    loss = SSDLoss(classification=kind, mining_nms_iou=nms_iou)
    expected = slow_loss(kind, outputs, SCENES, nms_iou)
    found = loss(outputs, ALL_SCENES, SIZE)
    torch.testing.assert_close(found, expected)


def test_mining_nms_does_not_mix_images() -> None:
    """Boxes far left of one image would reach into its neighbour if images shared a plane."""
    outputs = random_outputs(2)
    with torch.no_grad():
        outputs.box_deltas[1, :, 0] -= 1000
        outputs.box_deltas[:, ::2, 2:] += 20
    loss = SSDLoss(mining_nms_iou=0.5)
    losses = torch.rand(2, len(outputs.anchors))
    nobody = torch.zeros_like(losses, dtype=torch.bool)
    together = loss.mine(losses, nobody, outputs)
    for index in range(2):
        part = slice(index, index + 1)
        alone = loss.mine(losses[part], nobody[part], single(outputs, index))
        assert torch.equal(alone, together[part])


@pytest.mark.parametrize("kind", ALL)
def test_batch_is_the_sum_of_its_images_over_all_matches(kind: Classification) -> None:
    outputs, loss = random_outputs(3), SSDLoss(classification=kind)
    together = loss(outputs, ALL_SCENES, SIZE)
    sums, matches = torch.zeros(2), 0
    for index, scene in enumerate(SCENES):
        alone = loss(single(outputs, index), join_targets([scene]), SIZE)
        slots, _ = loss.assign(outputs.anchors, join_targets([scene]), 1, SIZE)
        count = int((slots > 0).sum())
        sums += torch.stack(alone) * max(count, 1)
        matches += count
    torch.testing.assert_close(torch.stack(together), sums / matches)


# Mining, on losses given by hand: anchors 0 and 1 are positive.
HAND = (0.1, 0.2, 9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0)


def mine(
    *, losses: Sequence[float] = HAND, positive: tuple[int, ...] = (0, 1), **options: Any
) -> list[int]:
    mask = torch.zeros(1, len(losses), dtype=torch.bool)
    mask[0, list(positive)] = True
    count = len(losses)
    outputs = DetectorOutputs(
        torch.zeros(1, count, 2), torch.zeros(1, count, 4), torch.ones(count, 4)
    )
    kept = SSDLoss(**options).mine(torch.tensor([list(losses)]), mask, outputs)
    return kept[0].nonzero()[:, 0].tolist()


def test_three_negatives_for_each_positive() -> None:
    assert mine() == [0, 1, 2, 3, 4, 5, 6, 7]
    assert mine(positive=(0,)) == [0, 2, 3, 4]
    assert mine(negatives_per_positive=1.5) == [0, 1, 2, 3, 4]


def test_the_hardest_negatives_are_kept_wherever_they_stand() -> None:
    assert mine(losses=[1.0, 5.0, 2.0, 9.0, 3.0, 4.0], positive=(4,)) == [1, 3, 4, 5]


def test_an_image_without_positives_keeps_the_minimum() -> None:
    assert mine(positive=()) == [2, 3, 4]
    assert mine(positive=(), min_negatives_per_image=0) == []
    assert mine(positive=(0,), min_negatives_per_image=5) == [0, 2, 3, 4, 5, 6]


def test_only_the_highest_losses_are_considered() -> None:
    """Of the four highest losses none is positive, so only the minimum of negatives is left."""
    assert mine(max_examples_per_image=4) == [2, 3, 4]
    assert mine(max_examples_per_image=4, positive=(3,)) == [2, 3, 4, 5]
    assert mine(max_examples_per_image=2, positive=(3,)) == [2, 3]


def test_identical_boxes_are_one_example() -> None:
    assert mine(mining_nms_iou=0.99) == [2]


def test_boxes_dropped_by_the_nms_take_no_place_among_the_considered() -> None:
    """Three pairs of copies: the three left are considered, the positive among them."""
    centers = torch.tensor([0.1, 0.1, 0.4, 0.4, 0.7, 0.7])
    anchors = torch.stack([centers, centers, *(torch.full_like(centers, 0.1),) * 2], dim=1)
    outputs = DetectorOutputs(torch.zeros(1, 6, 2), torch.zeros(1, 6, 4), anchors)
    losses = torch.tensor([[9.0, 8.5, 8.0, 7.5, 7.0, 6.5]])
    positive = torch.tensor([[False, False, False, False, True, False]])
    kept = SSDLoss(mining_nms_iou=0.9, max_examples_per_image=3).mine(losses, positive, outputs)
    assert kept[0].nonzero()[:, 0].tolist() == [0, 2, 4]


def test_more_negatives_wanted_than_there_are() -> None:
    assert mine(negatives_per_positive=100) == list(range(len(HAND)))


def test_equal_losses_are_settled_by_order() -> None:
    assert mine(losses=[1.0] * 8, positive=(7,)) == [0, 1, 2, 7]


def test_a_dropped_positive_still_counts_as_a_match() -> None:
    """The release divides by the matches, not by the examples that mining left."""
    outputs = random_outputs(1)
    every = SSDLoss()(outputs, FIRST, SIZE)
    none = SSDLoss(max_examples_per_image=1, min_negatives_per_image=1)
    slots, _ = none.assign(outputs.anchors, FIRST, 1, SIZE)
    losses = none.classify(outputs.class_logits, slots)
    found = none(outputs, FIRST, SIZE)
    torch.testing.assert_close(found.classification, losses.max() / (slots > 0).sum())
    assert found.localization < every.localization


# Targets.


def test_assignment_by_hand() -> None:
    """The box is anchor 0 of the first level's cell (1, 2), moved by half its side."""
    anchors = all_anchors()
    number = (1 * 6 + 2) * 3
    x1, y1, x2, y2 = (center_to_corner(anchors[number]) * torch.tensor([96, 64, 96, 64])).tolist()
    box = (x1 + 0.8, y1, x2 + 0.8, y2)  # the side is 0.1 * 64 pixels
    slots, deltas = SSDLoss().assign(
        anchors, join_targets([boxes(box, labels=(2,)), NOTHING]), 2, SIZE
    )
    assert slots[0, number] == 3
    torch.testing.assert_close(
        deltas[0, number], torch.tensor([10 * 0.8 / 6.4, 0, 0, 0]), rtol=1e-4, atol=1e-4
    )
    assert slots[0].sum() == 3
    assert not slots[1].any()
    assert not deltas[1].any()


def test_threshold_and_forcing_reach_the_matching() -> None:
    anchors = all_anchors()
    tiny = boxes((40, 30, 42, 32))
    assert (SSDLoss().assign(anchors, join_targets([tiny]), 1, SIZE)[0] > 0).sum() == 1
    assert not SSDLoss(force_match=False).assign(anchors, join_targets([tiny]), 1, SIZE)[0].any()
    few, many = (
        (SSDLoss(match_iou_threshold=t).assign(anchors, FIRST, 1, SIZE)[0] > 0).sum()
        for t in (0.7, 0.3)
    )
    assert few < many


# Special cases.


@pytest.mark.parametrize("kind", ALL)
def test_no_box_in_the_whole_batch(kind: Classification) -> None:
    outputs = random_outputs(2)
    terms = SSDLoss(classification=kind)(outputs, join_targets([NOTHING, NOTHING]), SIZE)
    assert terms.localization == 0
    assert 0 < terms.classification < 1000
    terms.total.backward()
    assert outputs.class_logits.grad is not None
    assert outputs.class_logits.grad.isfinite().all()
    assert outputs.class_logits.grad.any()
    assert outputs.box_deltas.grad is not None
    assert not outputs.box_deltas.grad.any()


@pytest.mark.parametrize("kind", ALL)
def test_perfect_predictions_cost_nothing(kind: Classification) -> None:
    loss, anchors = SSDLoss(classification=kind), all_anchors()
    slots, deltas = loss.assign(anchors, ALL_SCENES, len(SCENES), SIZE)
    logits = (F.one_hot(slots, SLOTS) * 2 - 1).float() * 30
    terms = loss(DetectorOutputs(logits, deltas, anchors), ALL_SCENES, SIZE)
    if kind == "focal":  # its background slot is to be silent everywhere
        logits[..., 0] = -30
        terms = loss(DetectorOutputs(logits, deltas, anchors), ALL_SCENES, SIZE)
    assert terms.total < 1e-6


def test_weights_scale_their_term() -> None:
    outputs = random_outputs(3)
    plain = SSDLoss()(outputs, ALL_SCENES, SIZE)
    scaled = SSDLoss(classification_weight=3, localization_weight=0.5)(outputs, ALL_SCENES, SIZE)
    torch.testing.assert_close(scaled.classification, plain.classification * 3)
    torch.testing.assert_close(scaled.localization, plain.localization * 0.5)
    torch.testing.assert_close(scaled.total, scaled.classification + scaled.localization)


def test_focal_options_reach_the_loss() -> None:
    outputs = random_outputs(1)
    loss = SSDLoss(classification="focal", focal_alpha=0.75, focal_gamma=1.0)
    slots, _ = loss.assign(outputs.anchors, FIRST, 1, SIZE)
    wanted = F.one_hot(slots, SLOTS).float()
    wanted[..., 0] = 0
    every = sigmoid_focal_loss(outputs.class_logits, wanted, alpha=0.75, gamma=1, reduction="sum")
    found = loss(outputs, FIRST, SIZE).classification
    torch.testing.assert_close(found, every / (slots > 0).sum())


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_inputs_are_summed_in_full(kind: Classification, dtype: torch.dtype) -> None:
    outputs = random_outputs(3)
    logits, deltas = (t.detach().to(dtype) for t in outputs[:2])
    half = DetectorOutputs(logits, deltas, outputs.anchors)
    full = DetectorOutputs(logits.float(), deltas.float(), outputs.anchors)
    loss = SSDLoss(classification=kind)
    found = loss(half, ALL_SCENES, SIZE)
    assert found.total.dtype == torch.float32
    torch.testing.assert_close(found, loss(full, ALL_SCENES, SIZE))


@pytest.mark.parametrize("kind", ALL)
def test_extreme_logits_stay_finite(kind: Classification) -> None:
    outputs = random_outputs(3)
    with torch.no_grad():
        outputs.class_logits.mul_(1e4)
    terms = SSDLoss(classification=kind)(outputs, ALL_SCENES, SIZE)
    terms.total.backward()
    assert terms.total.isfinite()
    assert outputs.class_logits.grad is not None
    assert outputs.class_logits.grad.isfinite().all()


# Several processes


def gradients_of(outputs: DetectorOutputs, targets: Sequence[BoxTargets]) -> Tensor:
    """Of the total loss in training, by the logits and box deltas [B, A, SLOTS + 4]."""
    SSDLoss()(outputs, join_targets(targets), SIZE).total.backward()
    assert outputs.class_logits.grad is not None
    assert outputs.box_deltas.grad is not None
    return torch.cat([outputs.class_logits.grad, outputs.box_deltas.grad], dim=2)


def gradients_of_share(rank: int, _: int) -> Tensor:
    """The first process has the scene without a box alone, and a batch without any after it."""
    shares = ([1], [0, 2])
    whole = random_outputs(len(SCENES))
    taken = whole.class_logits[shares[rank]], whole.box_deltas[shares[rank]]
    logits, deltas = (tensor.detach().requires_grad_() for tensor in taken)
    outputs = DetectorOutputs(logits, deltas, whole.anchors)
    share = gradients_of(outputs, [SCENES[i] for i in shares[rank]])
    empty = gradients_of(random_outputs(1), [NOTHING])
    if rank == 0:  # Validation asks nobody.
        SSDLoss().eval()(random_outputs(1), join_targets([NOTHING]), SIZE)
    return torch.cat([share, empty])


def test_the_mean_over_processes_is_the_gradient_of_the_whole_batch(tmp_path: Path) -> None:
    shares = run_processes(gradients_of_share, 2, tmp_path)
    whole = gradients_of(random_outputs(len(SCENES)), SCENES)
    joined = torch.cat([shares[1][:1], shares[0][:1], shares[1][1:2]]) / 2
    assert torch.allclose(joined, whole, atol=1e-6)
    empty = gradients_of(random_outputs(2), [NOTHING, NOTHING])
    assert torch.allclose(shares[0][1:] / 2, empty[:1], atol=1e-6)
