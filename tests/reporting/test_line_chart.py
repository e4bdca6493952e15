import itertools

import pytest

from mnv2_dense.pages.markup import page
from mnv2_dense.reporting.line_chart import (
    MOST_POINTS,
    STEPS,
    TABLE_ROWS,
    Axes,
    Line,
    decimate,
    draw_lines,
    nice_ticks,
)
from tests.pages.parsing import Page


def draw(*lines: Line, axes: Axes = STEPS) -> Page:
    return Page(page("plot", "", draw_lines("Loss", lines, axes)))


def test_points_stand_where_their_numbers_say() -> None:
    """Steps 0 to 100 lie at 50 to 370 across, and values 0 to 1 at 185 up to 10."""
    drawn = draw(Line("Loss", [0, 25, 100], [1.0, 0.5, 0.0]))
    assert [line["points"] for line in drawn.all("polyline")] == ["50,10 130,97.5 370,185"]
    assert [line["y1"] for line in drawn.all("line")] == ["185", "150", "115", "80", "45", "10"]
    labels = [(each["x"], each["y"]) for each in drawn.all("text", "label")]
    assert labels == [(x, "200") for x in ("50", "114", "178", "242", "306", "370")]
    (svg,) = [each for each in drawn.all("svg") if each.get("role") == "img"]
    assert svg["aria-label"] == "Loss: Loss from 1 to 0, between 0 and 1"


def test_given_ranges_hold() -> None:
    axes = Axes("recall", (0.0, 1.0), (0.0, 1.0))
    drawn = draw(Line("a", [0.25, 0.5], [0.5, 0.25], 1), Line("b", [0.0], [1.0], None), axes=axes)
    (line,) = drawn.all("polyline")
    assert line == {"points": "130,97.5 210,141.2", "class": "line split-1"}
    (point,) = drawn.all("circle")  # A single point is no line.
    assert (point["cx"], point["cy"], point["class"]) == ("50", "10", "line faint")
    assert "recall" in drawn.texts


def test_the_legend_names_lines_with_a_colour() -> None:
    lines = [Line("whole", [0, 1], [1, 2], 0), Line("<part>", [0, 1], [1, 2], 1)]
    drawn = draw(*lines, Line("gray", [0, 1], [1, 2], None))
    assert len(drawn.all("li")) == 2
    assert {"whole", "<part>"} <= set(drawn.texts)
    assert len(draw(Line("Loss", [0, 1], [1, 2])).all("li")) == 0  # Its title names it.


def test_some_numbers_stand_in_a_table() -> None:
    lines = [Line("a", [0, 10], [0.5, 0.25]), Line("b", [10, 20], [3, 4], 1)]
    texts = draw(*lines).texts
    start = texts.index("step", texts.index("Numbers"))
    rows = texts[start : start + 12]
    assert rows == ["step", "a", "b", "0", "0.5", "-", "10", "0.25", "3", "20", "-", "4"]
    many = draw(Line("a", range(1000), [float(x) for x in range(1000)]))
    assert len(many.all("td")) == TABLE_ROWS


@pytest.mark.parametrize("values", [[2.0], [3.0, 3.0, 3.0], [-1e-9, 0.0], [1e9, 1e9 + 1]])
def test_any_numbers_can_be_drawn(values: list[float]) -> None:
    drawn = draw(Line("Loss", range(len(values)), values))
    places = [
        float(number)
        for line in drawn.all("polyline")
        for point in line["points"].split()
        for number in point.split(",")
    ]
    places += [float(each[key]) for each in drawn.all("circle") for key in ("cx", "cy")]
    assert all(0 <= place <= 380 for place in places)
    assert len(places) == 2 * len(values)


def test_ticks_are_round_and_few() -> None:
    assert nice_ticks(0, 1) == [0, 0.2, 0.4, 0.6, 0.8, 1]
    assert nice_ticks(0.13, 15.8) == [0, 5, 10, 15, 20]
    assert nice_ticks(-3, 4) == [-4, -2, 0, 2, 4]
    assert nice_ticks(5, 5) == [2, 4, 6, 8]
    for low, high in itertools.product((-7.3, 0, 1e-6, 2), (2.5, 11, 1e6)):
        ticks = nice_ticks(low, high)
        assert 2 <= len(ticks) <= 6
        assert ticks[0] <= low
        assert ticks[-1] >= high


def test_of_many_points_the_extremes_stay() -> None:
    ys = [0.0] * 10_000
    ys[1234], ys[8765] = 9.0, -9.0
    kept = decimate(range(10_000), ys, MOST_POINTS)
    assert len(kept) <= MOST_POINTS
    assert {(1234, 9.0), (8765, -9.0)} <= set(kept)
    assert [x for x, _ in kept] == sorted(x for x, _ in kept)
    assert decimate([1, 2], [3.0, 4.0], 2) == [(1, 3.0), (2, 4.0)]
    assert decimate([1, 2, 3], [3.0, 5.0, 4.0], 2) == [(1, 3.0), (2, 5.0)]
