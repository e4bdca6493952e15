from mnv2_dense.pages.charts import COLORS, color_class, color_key, place_text, px, shorten_count


def test_places_have_a_tenth_of_a_pixel() -> None:
    assert [px(value) for value in (1, 2.04, 2.06, 0.0)] == ["1", "2", "2.1", "0"]
    assert place_text("a", 1.25, 3).attrib == {"x": "1.2", "y": "3"}


def test_large_counts_are_short() -> None:
    counts = (950, 9_999, 10_000, 12_345, 1_200_000)
    assert [*map(shorten_count, counts)] == ["950", "9,999", "10k", "12.3k", "1.2M"]


def test_colours_begin_again_after_the_last() -> None:
    assert color_class(0) == color_class(COLORS) == "split-0"
    assert color_key(COLORS + 1)[0].get("class") == "split-1"
