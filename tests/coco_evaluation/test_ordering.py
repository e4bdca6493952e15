import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mnv2_dense.coco_evaluation.ordering import (
    group_starts,
    order_detections,
    ranks_in,
    stable_order,
)

ROWS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2), st.integers(0, 3)), max_size=30)


@given(rows=ROWS, limit=st.integers(1, 4))
def test_both_orders_are_those_of_python(rows: list[tuple[int, int, int]], limit: int) -> None:
    images, labels, scores = np.array(rows, dtype=np.int64).reshape(-1, 3).T
    ordered = order_detections(images, labels, scores / 4, limit)
    found = [(image, label, -score, place) for place, (image, label, score) in enumerate(rows)]
    ranked = [
        (rank, each)
        for group in sorted({each[:2] for each in found})
        for rank, each in enumerate(sorted(each for each in found if each[:2] == group))
        if rank < limit
    ]
    assert ordered.grouped.tolist() == [each[3] for _, each in ranked]
    assert ordered.ranks.tolist() == [rank for rank, _ in ranked]
    by_class = sorted((each[1], each[2], each[0], each[3]) for _, each in ranked)
    assert ordered.grouped[ordered.classed].tolist() == [each[3] for each in by_class]


def test_large_numbers_are_sorted_too() -> None:
    assert stable_order(np.array([70_000, 65_536, 0, 65_536])).tolist() == [2, 1, 3, 0]
    assert stable_order(np.array([65_535, 1, 1])).tolist() == [1, 2, 0]
    assert stable_order(np.zeros(0, dtype=np.int64)).tolist() == []


def test_ranks_begin_anew_where_a_key_changes() -> None:
    starts = group_starts(np.array([1, 1, 1, 2, 2]), np.array([5, 5, 6, 6, 6]))
    assert starts.tolist() == [True, False, True, True, False]
    assert ranks_in(starts).tolist() == [0, 1, 0, 0, 1]
