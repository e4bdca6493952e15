from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
from numpy.typing import NDArray
from typing_extensions import override

from mnv2_dense.exporting.verify import verify
from mnv2_dense.prediction.engine import DetectorArrays, Engine, SegmenterArrays
from tests.prediction.networks import SIZE, manifest

PICTURES = np.zeros((2, *SIZE, 3), np.uint8)
BOX = (0.2, 0.2, 0.6, 0.6)


class Given(Engine):
    """Sees the same in every picture."""

    def __init__(
        self,
        given: DetectorArrays | SegmenterArrays,
        precision: Literal["float32", "int8"] = "float32",
    ) -> None:
        task = "detection" if isinstance(given, DetectorArrays) else "segmentation"
        self.name = "given"
        self.manifest = replace(manifest(task), precision=precision)
        self.given = given

    @override
    def run(
        self, images: NDArray[np.uint8], score_threshold: float = 0.0
    ) -> DetectorArrays | SegmenterArrays:
        given = self.given._make(np.repeat(each, len(images), axis=0) for each in self.given)
        if not isinstance(given, DetectorArrays):
            return given
        return given._replace(scores=np.where(given.scores < score_threshold, 0, given.scores))


class BatchMixing(Given):
    """Gives nothing for the second picture of a batch."""

    @override
    def run(
        self, images: NDArray[np.uint8], score_threshold: float = 0.0
    ) -> DetectorArrays | SegmenterArrays:
        given = super().run(images, score_threshold)
        for each in given:
            each[1:] = 0
        return given


class Unbounded(Given):
    """Does not heed the threshold."""

    @override
    def run(
        self, images: NDArray[np.uint8], score_threshold: float = 0.0
    ) -> DetectorArrays | SegmenterArrays:
        return super().run(images)


def boxes(*found: tuple[float, int, float]) -> DetectorArrays:
    """Of score, label and how far the box is moved, with one more that only fills up."""
    moved = [np.array(BOX) + shift for *_, shift in found]
    return DetectorArrays(
        np.array([[*moved, np.zeros(4)]], np.float32),
        np.array([[*(score for score, *_ in found), 0]], np.float32),
        np.array([[*(label for _, label, _ in found), 0]]),
    )


REFERENCE = boxes((0.9, 1, 0.0), (0.5, 2, 0.1))


@pytest.mark.parametrize(
    ("other", "same", "share"),
    [
        (boxes((0.9, 1, 0.0), (0.5, 2, 0.1)), True, 1.0),
        (boxes((0.90001, 1, 1e-6), (0.5, 2, 0.1)), True, 1.0),
        (boxes((0.5, 2, 0.1), (0.9, 1, 0.0)), True, 1.0),  # in any order
        (boxes((0.9, 1, 0.0), (0.5, 1, 0.1)), False, 2 / 3),  # another class
        (boxes((0.9, 1, 0.0), (0.51, 2, 0.1)), False, 2 / 3),  # another score
        (boxes((0.9, 1, 0.0), (0.5, 2, 0.15)), False, 2 / 3),  # another place
        (boxes((0.9, 1, 0.0)), False, 4 / 5),  # one is missing
        (boxes((0.9, 1, 0.0), (0.5, 2, 0.1), (0.4, 0, 0.0)), False, 6 / 7),  # one too many
        (boxes((0.9, 1, 0.0), (0.9, 1, 0.0), (0.5, 2, 0.1)), False, 3 / 4),  # one twice
        (boxes((0.9, 1, 0.0), (np.nan, 2, 0.1)), False, 4 / 7),
        (boxes(), False, 0.0),
    ],
)
def test_boxes_are_looked_for_in_both(other: DetectorArrays, same: bool, share: float) -> None:
    # In two pictures alone, and in both at a threshold of 0.7.
    found = verify(Given(other), Given(REFERENCE), PICTURES)
    assert found.same == same
    assert found.equal == pytest.approx(share)
    assert found.unit == "boxes"


def test_nothing_to_compare_is_no_likeness() -> None:
    found = verify(Given(boxes()), Given(boxes()), PICTURES)
    assert (found.counted, found.equal, found.same) == (0, 0.0, False)


def test_eight_bits_may_move_a_good_box_but_not_lose_it() -> None:
    moved, lost = boxes((0.8, 1, 0.03)), boxes((0.6, 2, 0.0))
    assert verify(Given(moved, "int8"), Given(REFERENCE), PICTURES).equal == pytest.approx(2 / 3)
    doubtful = boxes((0.8, 1, 0.03), (0.45, 2, 0.1), (0.2, 0, 0.0))
    assert verify(Given(doubtful, "int8"), Given(REFERENCE), PICTURES).same
    assert verify(Given(lost, "int8"), Given(REFERENCE), PICTURES).equal == 0


def test_pixels_are_counted_and_logits_compared() -> None:
    labels = np.zeros((1, *SIZE), np.uint8)
    logits = np.arange(72, dtype=np.float32).reshape(1, 3, 4, 6)
    changed, shifted = labels.copy(), logits.copy()
    changed[0, 0, :5], shifted[0, 1, 2, 3] = 1, shifted[0, 1, 2, 3] - 0.25
    reference = Given(SegmenterArrays(labels, logits))
    for precision, same in (("float32", False), ("int8", True)):
        engine = Given(SegmenterArrays(changed, shifted), precision)
        found = verify(engine, reference, PICTURES)
        assert (found.same, found.unit, found.counted) == (same, "pixels", 4 * labels.size)
        assert found.equal == pytest.approx(1 - 5 / labels.size)
        assert found.differences == {"logits": 0.25}


def test_nan_is_no_likeness() -> None:
    labels, logits = np.zeros((1, *SIZE), np.uint8), np.full((1, 3, 4, 6), np.nan, np.float32)
    reference = Given(SegmenterArrays(labels, np.zeros_like(logits)))
    assert not verify(Given(SegmenterArrays(labels, logits)), reference, PICTURES).same


@pytest.mark.parametrize(("factor", "precision"), [(1.02, "float32"), (1.5, "int8")])
def test_other_logits_are_no_likeness_where_the_labels_are_equal(
    factor: float, precision: Literal["float32", "int8"]
) -> None:
    labels, logits = (
        np.zeros((1, *SIZE), np.uint8),
        np.random.default_rng(0).normal(size=(1, 3, 4, 6)),
    )
    reference = Given(SegmenterArrays(labels, logits.astype(np.float32)))
    other = SegmenterArrays(labels, (factor * logits).astype(np.float32))
    found = verify(Given(other, precision), reference, PICTURES)
    assert found.equal == 1.0
    assert found.noise == pytest.approx(factor - 1, rel=0.2)
    assert not found.same
    assert verify(Given(reference.given, precision), reference, PICTURES).noise == 0


def test_a_batch_is_compared_too() -> None:
    labels, logits = np.ones((1, *SIZE), np.uint8), np.ones((1, 3, 4, 6), np.float32)
    for given in (REFERENCE, SegmenterArrays(labels, logits)):
        found = verify(BatchMixing(given), Given(given), PICTURES)
        assert not found.same
        assert 0.5 < found.equal < 1


def test_a_file_for_one_picture_is_shown_one_at_a_time() -> None:
    engine = BatchMixing(REFERENCE)
    engine.manifest = replace(engine.manifest, batch=1)
    assert verify(engine, Given(REFERENCE), PICTURES).same


def test_a_threshold_between_two_boxes_must_part_them() -> None:
    found = verify(Unbounded(REFERENCE), Given(REFERENCE), PICTURES)
    # Alone two and two; together one of PyTorch's, and one more of the engine's, in each.
    assert found.equal == pytest.approx(12 / 14)
    assert not found.same
    assert verify(Unbounded(REFERENCE, "int8"), Given(REFERENCE), PICTURES).same


def test_what_is_paired_with_another_box_does_not_count_as_a_difference() -> None:
    crowded = boxes((0.9, 1, 0.0), (0.85, 1, 0.05))
    assert verify(Given(crowded, "int8"), Given(crowded), PICTURES).differences == {
        "scores": 0.0,
        "boxes": 0.0,
    }
