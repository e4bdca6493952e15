import os
from multiprocessing.reduction import ForkingPickler

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnv2_dense.ops.texts import SharedTexts, list_first, list_ranges


@given(st.lists(st.text(st.characters(codec="utf-8"))))
def test_texts_come_back(texts: list[str]) -> None:
    stored = SharedTexts(texts)
    assert len(stored) == len(texts)
    assert [stored[index] for index in range(len(texts))] == texts


@given(st.lists(st.binary()))
def test_bytes_that_are_no_text_come_back(names: list[bytes]) -> None:
    stored = SharedTexts(names)
    assert [os.fsencode(stored[index]) for index in range(len(names))] == names


@pytest.mark.parametrize("index", [2, -1, 100])
def test_positions_outside_are_refused(index: int) -> None:
    with pytest.raises(IndexError, match=f"text {index} of 2"):
        SharedTexts(["a", "b"])[index]


def test_pickles_do_not_copy_the_texts() -> None:
    stored = SharedTexts([f"folder/{index:09}.jpg" for index in range(50_000)])
    assert stored.characters.is_shared()
    assert stored.offsets.is_shared()
    assert stored.characters.nbytes > 900_000
    assert len(ForkingPickler.dumps(stored)) < 5_000


@pytest.mark.parametrize(
    ("offenders", "count", "text"),
    [
        ([], None, ""),
        ([7, "b"], None, "7, b"),
        ([1, 2, 3, 4, 5], None, "1, 2, 3, 4, 5"),
        ([1, 2, 3, 4, 5, 6, 7], None, "1, 2, 3, 4, 5 and 2 more"),
        ([1, 2, 3, 4, 5], 40, "1, 2, 3, 4, 5 and 35 more"),
    ],
)
def test_the_first_offenders_are_listed(
    offenders: list[object], count: int | None, text: str
) -> None:
    assert list_first(offenders, count) == text


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ([], ""),
        (["last"], "last"),
        (["a_0", "a_1"], "a_0, a_1"),
        (["a_0", "a_1", "a_2"], "a_0 to a_2"),
        (["a_8", "a_9", "a_10", "a_11"], "a_8 to a_11"),
        (["a_0", "a_2", "a_4"], "a_0, a_2, a_4"),
        (["a_2", "a_1", "a_0"], "a_2, a_1, a_0"),
        (
            ["stem", "b_0", "b_1_in", "b_1", "b_2_in", "b_2", "last"],
            "stem, b_0 to b_2, b_1_in, b_2_in, last",
        ),
        (["b1_u1", "b1_u2", "b1_u3", "b2_u1", "b2_u2"], "b1_u1 to b1_u3, b2_u1, b2_u2"),
    ],
)
def test_names_that_count_on_are_one_range(names: list[str], text: str) -> None:
    assert list_ranges(names) == text
