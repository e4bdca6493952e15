import pytest

from mnv2_dense.caching.naming import name_pictures


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["000000000139", "2007_000032"], ["000000000139", "2007_000032"]),
        (["a/b", "c/b"], ["a/b", "c/b"]),
        (["Ä 1", "ä 1"], ["Ä_1", "ä_1-2"]),
        (["..", ".hidden", "a.jpg", "", "x\ny"], ["__", "_hidden", "a_jpg", "_", "x_y"]),
        (["a.b", "a_b", "a b"], ["a_b", "a_b-2", "a_b-3"]),
        (["a", "A", "a-2"], ["a", "A-2", "a-2-2"]),
        (["\uac01", "\u1100\u1161\u11a8"], ["\uac01", "\uac01-2"]),
        (["e\u0301", "\u00c9"], ["\u00e9", "\u00c9-2"]),
        (["/etc/passwd", "C:\\x"], ["_/etc/passwd", "C__x"]),
    ],
)
def test_names_are_safe_and_differ(names: list[str], expected: list[str]) -> None:
    assert name_pictures(names, set()) == expected


def test_names_of_the_other_split_are_taken() -> None:
    taken: set[str] = set()
    assert name_pictures(["a", "b"], taken) == ["a", "b"]
    assert name_pictures(["B", "c"], taken) == ["B-2", "c"]


def test_a_long_name_is_cut_between_letters() -> None:
    (found,) = name_pictures(["ä" * 200], set())
    assert found == "ä" * 90
    assert name_pictures(["a\udcff"], set()) == ["a_"]
