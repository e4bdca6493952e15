import pytest

from mnv2_dense.paper.agreement import Verdict, compare, parse


@pytest.mark.parametrize(
    ("printed", "value", "step"),
    [
        ("3.4M", 3.4e6, 1e5),
        ("575M", 575e6, 1e6),
        ("0.35B", 0.35e9, 1e7),
        ("4870.6B", 4870.6e9, 1e8),
        ("1600K", 1.6e6, 1e3),
        ("199", 199, 1),
    ],
)
def test_a_printed_figure_is_read_with_the_worth_of_its_last_digit(
    printed: str, value: float, step: float
) -> None:
    assert parse(printed) == pytest.approx((value, step), rel=1e-12)


@pytest.mark.parametrize("text", ["", "-", "3.4 M", "3,4M", "M", "1.2.3B", "4T"])
def test_what_is_no_figure_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no figure"):
        parse(text)


@pytest.mark.parametrize(
    ("printed", "ours", "how"),
    [
        ("4.2M", 4_231_976, "rounded"),
        ("4.2M", 4_150_000, "rounded"),
        ("4.2M", 4_250_000, "rounded"),
        ("4.2M", 4_250_001, "cut"),
        ("4.2M", 4_299_999, "cut"),
        ("14.25B", 14_226_627_264, "near"),
    ],
)
def test_figures_agree_rounded_cut_or_within_four_thousandths(
    printed: str, ours: int, how: str
) -> None:
    verdict = compare(printed, {"": ours})
    assert verdict == Verdict(True, "", how, ours / parse(printed)[0] - 1)


@pytest.mark.parametrize("ours", [4_149_999, 4_300_000, 8_400_000])
def test_others_differ(ours: int) -> None:
    verdict = compare("4.2M", {"": ours})
    assert not verdict.agrees
    assert verdict.how == "differs"
    assert verdict.deviation == pytest.approx(ours / 4.2e6 - 1)


def test_the_first_convention_that_fits_is_named() -> None:
    assert compare("3.4M", {"a": 3_504_872, "b": 3_469_760, "c": 3_400_000})[1:3] == ("b", "cut")


def test_exact_digits_of_a_later_convention_come_before_a_near_earlier_one() -> None:
    assert compare("387B", {"a": 388_000_000_000, "b": 387_400_000_000}).convention == "b"


def test_of_none_that_fits_the_nearest_is_named() -> None:
    verdict = compare("941.9B", {"plain": 800_745_156_864, "other": 990_785_564_928})
    assert verdict[:3] == (False, "other", "differs")
    assert verdict.deviation == pytest.approx(0.0519, abs=1e-4)
