import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnv2_dense.coco_evaluation.curves import Matched, hits_needed, trace

RECALLS = np.array([0.0, 0.25, 0.5, 0.75, 1.0])


@given(
    objects=st.integers(1, 10**6),
    thresholds=st.lists(st.floats(0, 1), min_size=1, max_size=9).map(sorted),
)
def test_hits_needed_are_what_searchsorted_finds(objects: int, thresholds: list[float]) -> None:
    (needed,) = hits_needed(np.array([objects]), np.array(thresholds)).tolist()
    for hits, threshold in zip(needed, thresholds, strict=True):
        assert hits / objects >= threshold
        assert hits == 0 or (hits - 1) / objects < threshold


def test_quotients_that_rounding_changes() -> None:
    thresholds = np.array([n / 100 for n in range(101)])
    for objects in range(1, 300):
        recalls = np.arange(objects + 1) / objects
        expected = np.searchsorted(recalls, thresholds, side="left")
        assert (hits_needed(np.array([objects]), thresholds)[0] == expected).all()


def test_precision_by_hand() -> None:
    # Ranked: hit, miss, hit, miss of two objects; a second class has one hit of four objects, and
    # a third no object and one miss.
    labels = np.array([0, 0, 0, 0, 1, 2])
    places, nothing = np.array([0, 2, 4]), np.zeros((1, 3), dtype=np.bool_)
    matched = Matched(places, ~nothing, nothing)
    objects = np.array([2, 4, 0])
    needed = hits_needed(objects, RECALLS)
    curves = trace(labels, np.ones(6, dtype=np.bool_), matched, objects, needed)
    assert curves.precision[0, :, 0].tolist() == pytest.approx([1, 1, 1, 2 / 3, 2 / 3])
    assert curves.precision[0, :, 1].tolist() == pytest.approx([1, 1, 0, 0, 0])
    assert curves.precision[0, 0, 1] == 1 - 2**-52  # as pycocotools has it
    assert curves.precision[0, :, 2].tolist() == [-1] * 5
    assert curves.recall.tolist() == [[1, 0.25, -1]]


def test_what_is_ignored_or_of_another_size_is_not_wrong() -> None:
    # In order: a match that is ignored, a miss of another size, a hit of another size, a miss.
    labels, inside = np.zeros(4, dtype=np.int64), np.array([True, False, False, True])
    hits, ignored = np.array([[False, True]]), np.array([[True, False]])
    matched = Matched(np.array([0, 2]), hits, ignored)
    needed = hits_needed(np.array([1]), RECALLS)
    curves = trace(labels, inside, matched, np.array([1]), needed)
    assert curves.precision[0, :, 0].tolist() == pytest.approx([1] * 5)
    wrong = Matched(matched.places, hits, np.zeros_like(ignored))
    curves = trace(labels, inside, wrong, np.array([1]), needed)
    assert curves.precision[0, :, 0].tolist() == pytest.approx([0.5] * 5)


def test_thresholds_above_zero_keep_classes_apart() -> None:
    # The second class begins with a hit of precision 1, which the first must not see.
    labels = np.array([0, 0, 1])
    matched = Matched(np.array([1, 2]), np.ones((1, 2), np.bool_), np.zeros((1, 2), np.bool_))
    objects = np.array([1, 1])
    needed = hits_needed(objects, np.array([0.5, 0.9]))
    curves = trace(labels, np.ones(3, dtype=np.bool_), matched, objects, needed)
    assert curves.precision[0].tolist() == [pytest.approx([0.5, 1])] * 2
