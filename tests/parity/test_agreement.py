import numpy as np
import pytest

from mnv2_dense.parity.agreement import Agreement

RANDOM = np.random.default_rng(0)


def test_figures_are_over_all_pictures() -> None:
    ours, theirs = RANDOM.normal(size=(2, 3, 50))
    agreement = Agreement("layer")
    for pair in zip(ours, theirs, strict=True):
        agreement.update(*pair)
    assert agreement.difference == pytest.approx(np.abs(ours - theirs).max())
    assert agreement.relative == pytest.approx(np.abs(ours - theirs).max() / np.abs(theirs).max())
    expected = np.corrcoef(ours.ravel(), theirs.ravel())[0, 1]
    assert agreement.correlation == pytest.approx(expected)


@pytest.mark.parametrize(("ours", "expected"), [(2.0, 1.0), (3.0, 1.0)])
def test_constant_values_agree_in_their_shape(ours: float, expected: float) -> None:
    agreement = Agreement("layer")
    agreement.update(np.full(4, ours), np.full(4, 2.0))
    assert agreement.correlation == expected


def test_values_against_a_constant_do_not() -> None:
    agreement = Agreement("layer")
    agreement.update(np.arange(4.0), np.full(4, 2.0))
    assert agreement.correlation == 0


def test_what_is_no_number_is_kept() -> None:
    agreement = Agreement("layer")
    agreement.update(np.array([np.nan, 1.0]), np.ones(2))
    agreement.update(np.ones(2), np.ones(2))
    assert np.isnan(agreement.difference)
    assert np.isnan(agreement.relative)
