import itertools

import pytest

from mnv2_dense.inspection.page_charts import SHOWN_CLASSES, draw_histogram
from mnv2_dense.inspection.report import Histogram
from mnv2_dense.pages.markup import page
from tests.pages.parsing import Page

SIZES = ["< 8", "8 - 16", ">= 16"]


def draw(histogram: Histogram) -> Page:
    return Page(page("plot", "", draw_histogram(histogram)))


def bars(drawn: Page, split: int) -> list[float]:
    """Heights of upright bars or widths of lying ones, without the square of the legend."""
    found = [each for each in drawn.all("rect", f"split-{split}") if each.get("height") != "12"]
    lying = found[0]["width"].endswith("%")
    return [float(each["width" if lying else "height"].rstrip("%")) for each in found]


def test_ranges_keep_their_order_and_each_split_its_scale() -> None:
    drawn = draw(Histogram("Size", SIZES, {"train": [1000, 4000, 0], "val": [1, 4, 2]}))
    one, four, none = bars(drawn, 0)
    assert four == pytest.approx(4 * one, abs=0.3)
    assert none == 0
    assert bars(drawn, 1)[:2] == pytest.approx([one, four], abs=0.1)
    assert "8 - 16: 4,000" in drawn.texts
    assert "Size, val" in [svg.get("aria-label") for svg in drawn.all("svg")]
    assert [text for text in drawn.texts if text in SIZES][:3] == SIZES


def test_few_of_many_are_still_to_be_seen() -> None:
    drawn = draw(Histogram("Size", SIZES, {"train": [1, 1_000_000, 0]}))
    assert bars(drawn, 0)[0] == 1
    assert bars(drawn, 0)[2] == 0


def test_the_axis_counts_in_round_numbers() -> None:
    for most in (0, 1, 3, 4, 5, 7, 99, 686, 12_345, 262_465):
        drawn = draw(Histogram("Size", ["1", "2"], {"train": [most, 0]}))
        ticks = drawn.all("line")
        heights = [float(line["y1"]) for line in ticks]
        assert 2 <= len(ticks) <= 6
        gaps = [low - high for low, high in itertools.pairwise(heights)]
        assert gaps == pytest.approx([gaps[0]] * len(gaps), abs=0.2)
        assert max(bars(drawn, 0)) <= heights[0] - heights[-1] + 0.1


def test_numbers_stand_in_a_table_as_well() -> None:
    drawn = draw(Histogram("Size", SIZES, {"train": [10, 4000, 0], "val": [1, 4, 2]}))
    assert len(drawn.all("th")) == 3 + 3
    assert len(drawn.all("td")) == 6


def test_classes_are_sorted_and_absent_ones_marked() -> None:
    counts = {"train": [5, 100, 0], "val": [1, 10, 7]}
    drawn = draw(Histogram("Boxes per class", ["dog", "person", "cat & co"], counts, ordered=False))
    names = [text for text in drawn.texts if text in ("dog", "person", "cat & co")]
    assert names == ["person", "cat & co", "dog"]
    assert bars(drawn, 0) == [100, 0, 5]
    assert bars(drawn, 1) == [100, 70, 10]
    assert len(drawn.all("span", "none")) == 1


def test_of_very_many_classes_the_ends_are_shown() -> None:
    labels = [f"class {number}" for number in range(100_000)]
    drawn = draw(
        Histogram("Boxes per class", labels, {"train": list(range(100_000))}, ordered=False)
    )
    assert len(drawn.all("span", "name")) == 2 * SHOWN_CLASSES
    assert {"class 99999", "class 0"} <= set(drawn.texts)
    assert "99,800 classes between these are in report.json" in drawn.texts


@pytest.mark.parametrize("labels", [[], ["1"], ["cat"]])
def test_nothing_to_count(labels: list[str]) -> None:
    draw(Histogram("Size", labels, {"train": [0] * len(labels)}))
    draw(Histogram("Size", labels, {}))


def test_colours_begin_again_after_the_last() -> None:
    drawn = draw(Histogram("Size", ["1"], {f"split {n}": [n] for n in range(1, 9)}))
    assert len(bars(drawn, 0)) == 2
