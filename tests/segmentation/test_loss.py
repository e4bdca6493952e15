import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mnv2_dense.segmentation.loss import SegmentationLoss
from mnv2_dense.segmentation.network import SegmenterOutputs
from mnv2_dense.structures import IGNORE_INDEX
from tests.ops.process_group import run_processes

CLASSES = 4
SIZE = (13, 17)
WEIGHTS = (0.5, 2.0, 1.0, 3.0)
OPTIONS: list[dict[str, Any]] = [
    {},
    {"class_weights": WEIGHTS},
    {"hard_pixel_share": 0.3},
    {"class_weights": WEIGHTS, "hard_pixel_share": 0.3},
]


def random_logits(batch: int = 2, cells: tuple[int, int] = SIZE, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(batch, CLASSES, *cells, generator=generator) * 2).requires_grad_()


def random_labels(batch: int = 2, seed: int = 0, void: float = 0.2) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, CLASSES, (batch, *SIZE), generator=generator)
    labels[torch.rand(batch, *SIZE, generator=generator) < void] = IGNORE_INDEX
    return labels.to(torch.uint8)


def measure(logits: Tensor, labels: Tensor, **options: Any) -> Tensor:
    return SegmentationLoss(**options)(SegmenterOutputs(logits), labels).cross_entropy


def slow_loss(
    logits: Tensor, labels: Tensor, class_weights: Sequence[float], share: float
) -> Tensor:
    """The same loss, one pixel at a time."""
    pixels = []
    for scores, label in zip(
        logits.permute(0, 2, 3, 1).reshape(-1, CLASSES), labels.flatten().tolist(), strict=True
    ):
        if label != IGNORE_INDEX:
            weight = class_weights[label]
            pixels.append((-scores.log_softmax(dim=0)[label] * weight, weight))
    pixels.sort(key=lambda pixel: -pixel[0].item())
    kept = pixels[: math.ceil(share * len(pixels))]
    losses, weights = zip(*kept, strict=True)
    return torch.stack(losses).sum() / sum(weights)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("class_weights", [None, WEIGHTS])
@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize("cells", [SIZE, (3, 4), (1, 1)])
def test_loss_equals_pytorchs_cross_entropy(
    cells: tuple[int, int], align_corners: bool, class_weights: Sequence[float] | None, seed: int
) -> None:
    logits, labels = random_logits(cells=cells, seed=seed), random_labels(seed=seed)
    loss = measure(logits, labels, class_weights=class_weights, align_corners=align_corners)
    expected = F.cross_entropy(
        F.interpolate(logits, SIZE, mode="bilinear", align_corners=align_corners),
        labels.long(),
        None if class_weights is None else torch.tensor(class_weights),
        ignore_index=IGNORE_INDEX,
    )
    torch.testing.assert_close(loss, expected)
    for ours, theirs in zip(
        torch.autograd.grad(loss, logits), torch.autograd.grad(expected, logits), strict=True
    ):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("share", [0.001, 0.25, 0.5, 1.0])
@pytest.mark.parametrize("class_weights", [None, WEIGHTS])
def test_loss_equals_the_slow_one(
    class_weights: Sequence[float] | None, share: float, seed: int
) -> None:
    logits, labels = random_logits(seed=seed), random_labels(seed=seed)
    loss = measure(logits, labels, class_weights=class_weights, hard_pixel_share=share)
    expected = slow_loss(logits, labels, class_weights or [1.0] * CLASSES, share)
    torch.testing.assert_close(loss, expected)
    (ours,), (theirs,) = (torch.autograd.grad(value, logits) for value in (loss, expected))
    torch.testing.assert_close(ours, theirs)


def test_hard_pixels_are_torchs_largest_of_the_whole_batch() -> None:
    """An easy image gives none of them."""
    logits, labels = random_logits(), random_labels(void=0)
    with torch.no_grad():
        logits[0] = 20 * F.one_hot(labels[0].long(), CLASSES).permute(2, 0, 1)
    every = F.cross_entropy(logits, labels.long(), reduction="none")
    share = 0.25
    expected = every.flatten().topk(math.ceil(share * every.numel())).values.mean()
    loss = measure(logits, labels, hard_pixel_share=share)
    torch.testing.assert_close(loss, expected)
    loss.backward()
    assert logits.grad is not None
    assert not logits.grad[0].any()
    assert logits.grad[1].any()


def chances(*of_class_one: float) -> Tensor:
    """Logits [1, 2, 1, W] that give class 1 these probabilities."""
    one = torch.tensor(of_class_one)
    return torch.stack([1 - one, one]).log().view(1, 2, 1, -1)


LABELS = torch.tensor([[[1, 1, 0, IGNORE_INDEX]]], dtype=torch.uint8)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        # Pixels of loss log 2, log 4 and log 8; the fourth is void.
        ({}, math.log(2 * 4 * 8) / 3),
        ({"hard_pixel_share": 0.5}, math.log(4 * 8) / 2),  # 1.5 of 3 pixels: two
        ({"hard_pixel_share": 0.3}, math.log(8)),
        ({"class_weights": (1, 3)}, (3 * math.log(2 * 4) + math.log(8)) / 7),
        # Weighted they are 3 log 2, 3 log 4 = 6 log 2 and 3 log 2: now the second is hardest.
        ({"class_weights": (1, 3), "hard_pixel_share": 0.3}, math.log(4)),
        ({"class_weights": (0, 1)}, math.log(2 * 4) / 2),
    ],
)
def test_example_by_hand(options: dict[str, Any], expected: float) -> None:
    logits = chances(1 / 2, 1 / 4, 7 / 8, 1 / 100)
    assert measure(logits, LABELS, **options).item() == pytest.approx(expected)


def test_auxiliary_loss_is_weighted_and_added() -> None:
    logits, labels = random_logits(), random_labels()
    second = random_logits(cells=(3, 4), seed=7)
    loss = SegmentationLoss(auxiliary_weight=0.25, class_weights=WEIGHTS, hard_pixel_share=0.5)
    terms = loss(SegmenterOutputs(logits, second), labels)
    alone = loss(SegmenterOutputs(second), labels)
    torch.testing.assert_close(terms.auxiliary, 0.25 * alone.cross_entropy)
    assert terms.total == terms.cross_entropy + terms.auxiliary
    terms.total.backward()
    for tensor in (logits, second):
        assert tensor.grad is not None
        assert tensor.grad.any()
    assert alone.auxiliary is None
    assert alone.total == alone.cross_entropy > 0


@pytest.mark.parametrize("options", OPTIONS)
def test_batch_of_void_costs_nothing(options: dict[str, Any]) -> None:
    logits, second = random_logits(cells=(3, 4)), random_logits(seed=1)
    labels = torch.full((2, *SIZE), IGNORE_INDEX, dtype=torch.uint8)
    terms = SegmentationLoss(**options)(SegmenterOutputs(logits, second), labels)
    assert terms == (0, 0)
    terms.total.backward()
    for tensor in (logits, second):
        assert tensor.grad is not None
        assert not tensor.grad.any()  # NaN counts as any


@pytest.mark.parametrize("options", OPTIONS)
def test_void_beside_a_picture_changes_nothing(options: dict[str, Any]) -> None:
    """One void image more leaves the loss and its gradients as they are."""
    logits, labels = random_logits(), random_labels()
    expected = measure(logits[:1], labels[:1], **options)
    labels[1] = IGNORE_INDEX
    loss = measure(logits, labels, **options)
    torch.testing.assert_close(loss, expected)
    (gradient,) = torch.autograd.grad(loss, logits)
    (alone,) = torch.autograd.grad(expected, logits)
    torch.testing.assert_close(gradient, alone)
    assert not gradient[(labels == IGNORE_INDEX)[:, None].expand_as(gradient)].any()


def test_classes_of_weight_zero_alone_cost_nothing() -> None:
    logits = random_logits()
    labels = torch.ones(2, *SIZE, dtype=torch.uint8)
    for share in (0.5, 1.0):
        loss = measure(logits, labels, class_weights=(1, 0, 1, 1), hard_pixel_share=share)
        assert loss == 0
        (gradient,) = torch.autograd.grad(loss, logits)
        assert not gradient.any()


@pytest.mark.parametrize("options", OPTIONS)
def test_scale_of_class_weights_does_not_matter(options: dict[str, Any]) -> None:
    logits, labels = random_logits(), random_labels()
    weights = options.get("class_weights", [1.0] * CLASSES)
    scaled = {**options, "class_weights": [1e-6 * weight for weight in weights]}
    torch.testing.assert_close(
        measure(logits, labels, **scaled), measure(logits, labels, **options)
    )


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16])
def test_half_precision_logits_are_summed_in_float32(
    precision: torch.dtype, options: dict[str, Any]
) -> None:
    logits, labels = random_logits(cells=(3, 4)).detach().to(precision), random_labels()
    expected = measure(logits.float(), labels, **options)
    with torch.autocast("cpu", torch.bfloat16):
        loss = measure(logits, labels, **options)
    assert loss.dtype == torch.float32
    assert loss == expected


@pytest.mark.parametrize("options", OPTIONS)
def test_broken_logits_are_not_hidden(options: dict[str, Any]) -> None:
    """The task stops at a loss that is not finite; mining must not choose around it."""
    logits, labels = random_logits().detach(), random_labels(void=0)
    logits[0, 1, 2, 3] = torch.nan
    assert measure(logits, labels, **options).isnan()


def test_loss_adds_nothing_to_a_checkpoint_but_moves_with_the_task() -> None:
    loss = SegmentationLoss(class_weights=WEIGHTS)
    assert not loss.state_dict()
    weights = loss.to("meta").class_weights
    assert weights is not None
    assert weights.is_meta


@pytest.mark.parametrize("share", [0.0, -0.1, 1.5])
def test_share_out_of_range_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match=f"hard_pixel_share {share}: above 0, at most 1"):
        SegmentationLoss(hard_pixel_share=share)


# Several processes


def gradient_of(loss: SegmentationLoss, logits: Tensor, labels: Tensor) -> Tensor:
    logits = logits.detach().requires_grad_()
    loss.measure(logits, labels).backward()
    assert logits.grad is not None
    return logits.grad


def gradient_of_share(rank: int, _: int) -> Tensor:
    """One picture with many void pixels and two with few; then a batch of void alone."""
    logits, labels = unequal_batch()
    share = slice(0, 1) if rank == 0 else slice(1, 3)
    loss = SegmentationLoss(class_weights=[1.0, 2.0, 0.5, 1.0])
    own = gradient_of(loss, logits[share], labels[share])
    void = gradient_of(loss, logits[:1], torch.full_like(labels[:1], IGNORE_INDEX))
    if rank == 0:  # Validation asks nobody.
        loss.eval().measure(logits, labels)
    return torch.cat([own, void])


def unequal_batch() -> tuple[Tensor, Tensor]:
    labels = torch.cat([random_labels(1, void=0.9), random_labels(2, seed=1, void=0.1)])
    return random_logits(3), labels.long()


@pytest.fixture(scope="module")
def shares(tmp_path_factory: pytest.TempPathFactory) -> list[Tensor]:
    return run_processes(gradient_of_share, 2, tmp_path_factory.mktemp("shares"))


def test_the_mean_over_processes_is_the_gradient_of_the_whole_batch(shares: list[Tensor]) -> None:
    loss = SegmentationLoss(class_weights=[1.0, 2.0, 0.5, 1.0])
    joined = torch.cat([shares[0][:1], shares[1][:2]]) / 2
    assert torch.allclose(joined, gradient_of(loss, *unequal_batch()), atol=1e-8)
    assert not shares[0][1:].any()
