import pytest

from mnv2_dense.pages.markup import element, page
from mnv2_dense.reporting.parts import (
    SHOWN_CLASSES,
    bar,
    choose_rows,
    order_of,
    score,
    score_bar,
    section,
    table,
    tiles,
)
from tests.pages.parsing import Page


@pytest.mark.parametrize(
    ("value", "shown"), [(0.12345, "0.123"), (1, "1.000"), (0, "0.000"), (-1.0, "-")]
)
def test_scores_have_three_digits(value: float, shown: str) -> None:
    assert score(value) == shown


@pytest.mark.parametrize("value", [None, "0.5", float("nan"), 7.0, [], {}])
def test_what_is_no_score_is_a_dash(value: object) -> None:
    assert (score(value), order_of(value)) == ("-", -1.0)
    assert score_bar(value)[0][0].get("width") == "0.0%"


def test_a_bar_is_as_long_as_its_share() -> None:
    assert [bar(share, "")[0][0].get("width") for share in (0.256, 2.0)] == ["25.6%", "100.0%"]


def test_a_table_names_rows_and_columns() -> None:
    drawn = Page(
        page("title", "", table(("class", "AP"), [("<b>", "0.5"), ("cat", element("i", "x"))]))
    )
    assert [each["scope"] for each in drawn.all("th")] == ["col", "col", "row", "row"]
    assert drawn.texts[1:] == ["class", "AP", "<b>", "0.5", "cat", "x"]


def test_of_very_many_rows_the_ends_are_shown() -> None:
    scores = {row: 1 - row / 1000 for row in range(SHOWN_CLASSES + 3)}
    rows, note = choose_rows(scores)
    assert (rows[0], rows[-1], len(rows)) == (0, SHOWN_CLASSES + 2, SHOWN_CLASSES)
    assert note == " In metrics.json alone: 3 classes between."
    assert choose_rows({"a": 0.5, "b": None, "c": 1}) == (["c", "a", "b"], "")


def test_of_very_many_rows_those_without_objects_go_first() -> None:
    scores = {row: row / 1000 for row in range(SHOWN_CLASSES + 1)}
    rows, note = choose_rows({**scores, **dict.fromkeys(range(1000, 1300))})
    assert (rows[0], rows[-1], len(rows)) == (SHOWN_CLASSES, 0, SHOWN_CLASSES)
    assert note == " In metrics.json alone: 300 classes without objects and 1 class between."
    rows, note = choose_rows({**dict.fromkeys(range(1000, 1300)), 1: 0.5})
    assert (rows, note) == ([1], " In metrics.json alone: 300 classes without objects.")


def test_sections_have_titles_and_tiles_names() -> None:
    drawn = Page(page("title", "", section("Scores", tiles([("mAP", "0.5")]), key="scores")))
    assert drawn.all("section")[0]["id"] == "scores"
    assert drawn.texts[1:] == ["Scores", "mAP", "0.5"]
