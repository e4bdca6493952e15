import numpy as np
import pytest

from mnv2_dense.error_analysis.precision import Outcome, measure

ALL = np.ones(4, dtype=np.bool_)


def test_by_hand() -> None:
    """Class 0: right, wrong, right of three objects; 1: wrong; 2: nothing found; 3: nothing at all.

    Recall 1/3 at precision 1 (34 of the 101 recalls), 2/3 at 2/3 (33).
    """
    labels = np.array([0, 1, 0, 0])
    hits = np.array([True, False, False, True])
    found = measure(Outcome(labels, hits, np.array([3, 0, 1, 0])))
    assert found.values.tolist() == pytest.approx([(34 + 33 * 2 / 3) / 101, 0, 0, 0])
    assert found.gone.tolist() == [False, False, False, True]
    assert found.average(ALL) == pytest.approx((34 + 22) / 101 / 3)
    assert found.average(np.array([False, False, False, True])) == 1.0


def test_nothing() -> None:
    nothing = np.zeros(0, dtype=np.int64)
    found = measure(Outcome(nothing, nothing.astype(np.bool_), np.zeros(4, dtype=np.int64)))
    assert found.gone.all()
    assert found.average(ALL) == 1.0
