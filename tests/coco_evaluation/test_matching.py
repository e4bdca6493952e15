import numpy as np

from mnv2_dense.coco_evaluation.matching import Matches, match
from mnv2_dense.coco_evaluation.overlaps import Candidates


def matches_of(
    rows: list[tuple[int, int, float]],
    groups: list[int],
    passing: list[int],
    counting: list[int],
    crowds: list[bool],
) -> Matches:
    """Rows are detection, object, IoU: the best object of a detection first."""
    detections, objects, ious = zip(*rows, strict=True)
    candidates = Candidates(np.array(detections), np.array(objects), np.array(ious))
    passes, counts = (np.array(each, dtype=np.uint64) for each in (passing, counting))
    return match(candidates, np.array(groups), passes, counts, np.array(crowds))


def test_the_better_detection_takes_the_object() -> None:
    # Both want object 0 most; the second one gets object 1 where that passes, at setting 0.
    rows = [(4, 0, 0.9), (6, 0, 0.8), (6, 1, 0.6)]
    found = matches_of(rows, [0, 0, 0], [0b11, 0b11, 0b01], [0b11, 0b11], [False, False])
    assert found.hits.tolist() == [0b11, 0b01]
    assert found.ignored.tolist() == [0, 0]


def test_an_object_that_counts_comes_before_a_closer_one_that_does_not() -> None:
    # Object 0 counts at setting 0 alone; object 1 at both.
    rows = [(0, 0, 0.9), (0, 1, 0.6)]
    found = matches_of(rows, [0, 0], [0b11, 0b01], [0b01, 0b11], [False, False])
    assert found.hits.tolist() == [0b01]
    assert found.ignored.tolist() == [0b10]  # nothing that counts passes there


def test_a_crowd_matches_again_and_another_ignored_object_once() -> None:
    rows = [(0, 0, 0.9), (1, 0, 0.9), (2, 1, 0.9), (3, 1, 0.9)]
    found = matches_of(rows, [0, 0, 1, 1], [1, 1, 1, 1], [0, 0], [True, False])
    assert found.hits.tolist() == [0, 0, 0, 0]
    assert found.ignored.tolist() == [1, 1, 1, 0]


def test_a_detection_takes_one_ignored_object_alone() -> None:
    rows = [(0, 0, 0.9), (0, 1, 0.8), (1, 1, 0.7)]
    found = matches_of(rows, [0, 0, 0], [1, 1, 1], [0, 0], [False, False])
    assert found.ignored.tolist() == [1, 1]


def test_groups_take_their_turns_side_by_side() -> None:
    rows = [(0, 0, 0.9), (1, 0, 0.8), (2, 1, 0.7), (3, 2, 0.6)]
    found = matches_of(rows, [0, 0, 1, 2], [1, 1, 1, 1], [1, 1, 1], [False] * 3)
    assert found.hits.tolist() == [1, 0, 1, 1]


def test_all_64_settings() -> None:
    everything = 2**64 - 1
    found = matches_of([(0, 0, 1.0)], [0], [everything], [2**63], [False])
    assert found.hits.tolist() == [2**63]
    assert found.ignored.tolist() == [2**63 - 1]


def test_no_candidates() -> None:
    none = Candidates(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
    bits = np.zeros(0, dtype=np.uint64)
    found = match(none, np.zeros(0, np.int64), bits, bits, np.zeros(0, dtype=np.bool_))
    assert found.hits.tolist() == found.ignored.tolist() == []
