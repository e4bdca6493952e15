from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torchmetrics.classification import MulticlassJaccardIndex

from mnv2_dense.segmentation.metrics import SegmentationMetric
from mnv2_dense.segmentation.scoring import SegmentationScores
from mnv2_dense.structures import Category

TOLERANCE = 1e-12
FLOAT32 = 1e-6  # torchmetrics divides in float32
VOC = 21
Pair = tuple[np.ndarray, np.ndarray]


def loop_reference(pairs: Sequence[Pair], classes: int) -> dict[str, object]:
    """The definitions, class by class and picture by picture, in Python integers."""
    hits, truth, predicted = [0] * classes, [0] * classes, [0] * classes
    for found, reference in pairs:
        known = reference != 255
        for label in range(classes):
            is_label, called_label = known & (reference == label), known & (found == label)
            hits[label] += int((is_label & called_label).sum())
            truth[label] += int(is_label.sum())
            predicted[label] += int(called_label.sum())
    pixels = sum(truth)
    ious: list[float | None] = []
    for label in range(classes):
        union = truth[label] + predicted[label] - hits[label]
        ious.append(hits[label] / union if truth[label] else None)
    present = [iou for iou in ious if iou is not None]
    weighted = sum(truth[k] / pixels * iou for k, iou in enumerate(ious) if iou is not None)
    return {
        "per_class": ious,
        "mIoU": sum(present) / len(present),
        "pixel_accuracy": sum(hits) / pixels,
        "frequency_weighted_IoU": weighted,
    }


def measure(pairs: Sequence[Pair], classes: int) -> SegmentationScores:
    metric = SegmentationMetric([Category(label, f"class {label}") for label in range(classes)])
    for found, reference in pairs:
        metric.update(torch.from_numpy(found), torch.from_numpy(reference))
    return metric.compute()


def torchmetrics_iou(
    pairs: Sequence[Pair], classes: int, average: Literal["macro", "none"]
) -> torch.Tensor:
    jaccard = MulticlassJaccardIndex(classes, ignore_index=255, average=average)
    for found, reference in pairs:
        jaccard.update(torch.from_numpy(found).long(), torch.from_numpy(reference).long())
    return jaccard.compute()


def assert_equal(scores: SegmentationScores, expected: dict[str, object]) -> None:
    for key, value in scores.summary.items():
        assert value == pytest.approx(expected[key], abs=TOLERANCE, rel=0)
    theirs = expected["per_class"]
    assert isinstance(theirs, list)
    for iou, other in zip(scores.per_class.values(), theirs, strict=True):
        assert (iou is None) == (other is None)
        assert iou is None or iou == pytest.approx(other, abs=TOLERANCE, rel=0)


def imitate(
    reference: np.ndarray, generator: np.random.Generator, labels: np.ndarray
) -> np.ndarray:
    """The mask moved by some pixels, some of it under another label, void filled."""
    found = np.roll(reference, tuple(generator.integers(-12, 13, size=2)), axis=(0, 1))
    found = np.where(found == 255, generator.choice(labels, size=found.shape), found)
    if generator.random() < 0.5:
        mistaken = found == generator.choice(np.unique(found))
        found = np.where(mistaken, generator.choice(labels), found)
    top, left = generator.integers(0, 200, size=2)
    found[top : top + 60, left : left + 60] = generator.choice(labels)
    return found.astype(np.uint8)


@pytest.fixture(scope="module")
def voc_pairs(shared: Path) -> list[Pair]:
    """The 40 real validation masks with imagined predictions of the classes among them."""
    root = shared / "data" / "voc" / "VOC2012"
    names = (root / "ImageSets" / "Segmentation" / "val.txt").read_text().split()
    masks = [np.array(Image.open(root / "SegmentationClass" / f"{name}.png")) for name in names]
    labels = np.unique(np.concatenate([np.unique(mask) for mask in masks]))
    generator = np.random.default_rng(7)
    return [(imitate(mask, generator, labels[labels != 255]), mask) for mask in masks]


def test_real_masks_with_void(voc_pairs: list[Pair]) -> None:
    assert len(voc_pairs) == 40
    assert all((reference == 255).any() for _, reference in voc_pairs)
    scores = measure(voc_pairs, VOC)
    assert 0.3 < scores.summary["mIoU"] < 0.95
    assert_equal(scores, loop_reference(voc_pairs, VOC))


def test_real_masks_against_torchmetrics(voc_pairs: list[Pair]) -> None:
    scores = measure(voc_pairs, VOC)
    mean = float(torchmetrics_iou(voc_pairs, VOC, "macro"))
    assert scores.summary["mIoU"] == pytest.approx(mean, abs=FLOAT32, rel=0)
    by_class = torchmetrics_iou(voc_pairs, VOC, "none").tolist()
    ours = list(scores.per_class.values())
    assert [iou for iou in ours if iou is not None] == pytest.approx(
        [theirs for theirs, iou in zip(by_class, ours, strict=True) if iou is not None],
        abs=FLOAT32,
        rel=0,
    )


def test_void_is_what_makes_the_equality(voc_pairs: list[Pair]) -> None:
    counted = [(found, np.where(mask == 255, 0, mask)) for found, mask in voc_pairs]
    difference = measure(counted, VOC).summary["mIoU"] - measure(voc_pairs, VOC).summary["mIoU"]
    assert abs(difference) > 1e-3


def test_an_absent_class_that_was_predicted() -> None:
    """Where the rules differ: torchmetrics averages its IoU of 0 in, here it is left out."""
    reference = np.array([[0, 0, 0, 1, 1, 255]], np.uint8)
    found = np.array([[0, 0, 2, 1, 1, 2]], np.uint8)
    scores = measure([(found, reference)], 3)
    assert_equal(scores, loop_reference([(found, reference)], 3))
    assert scores.summary["mIoU"] == pytest.approx((2 / 3 + 1) / 2)
    theirs = float(torchmetrics_iou([(found, reference)], 3, "macro"))
    assert theirs == pytest.approx((2 / 3 + 1 + 0) / 3)


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32),
    classes=st.integers(2, 30),
    pictures=st.integers(1, 4),
    noise=st.sampled_from([0.0, 0.1, 0.9]),
)
def test_random_maps(seed: int, classes: int, pictures: int, noise: float) -> None:
    generator = np.random.default_rng(seed)
    # Few labels, so that classes are absent; predictions are of these and of all classes.
    labels = generator.choice(classes, size=generator.integers(1, classes + 1), replace=False)
    pairs = []
    for _ in range(pictures):
        size = generator.integers(1, 40, size=2)
        reference = generator.choice([*labels, 255], size=size).astype(np.uint8)
        reference[0, 0] = labels[0]
        anything = (generator.random(size) < noise) | (reference == 255)
        found = np.where(anything, generator.integers(classes, size=size), reference)
        pairs.append((found.astype(np.uint8), reference))
    scores = measure(pairs, classes)
    assert_equal(scores, loop_reference(pairs, classes))
    by_class = torchmetrics_iou(pairs, classes, "none").tolist()
    for iou, theirs in zip(scores.per_class.values(), by_class, strict=True):
        assert iou is None or iou == pytest.approx(theirs, abs=FLOAT32, rel=0)
    truth = scores.confusion_matrix.sum(axis=1) > 0
    if not (scores.confusion_matrix.sum(axis=0)[~truth] > 0).any():
        mean = float(torchmetrics_iou(pairs, classes, "macro"))
        assert scores.summary["mIoU"] == pytest.approx(mean, abs=FLOAT32, rel=0)
