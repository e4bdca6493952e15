from collections.abc import Sequence
from typing import Any

import pytest

from tests.importing.random_networks import import_message, refusal
from tests.importing.release_forms import edit, find, floats, insert, ints, remove, scale_logits
from tests.importing.small_detectors import SLOTS, message_of, notes_of

CUT = "takes other scores than all but the first column"


def sliced(begin: Sequence[int], size: Sequence[int]) -> Any:
    message = message_of()
    for name, values in (("begin", begin), ("size", size)):
        remove(message, f"Postprocessor/Slice/{name}")
        edit(message).const(f"Postprocessor/Slice/{name}", ints(values))
    return message


@pytest.mark.parametrize("size", [-1, SLOTS - 1])
def test_background_is_cut_off(size: int) -> None:
    assert "background" not in notes_of(sliced([0, 0, 1], [-1, -1, size]))


@pytest.mark.parametrize(
    ("begin", "size"),
    [
        ([0, 0, 0], [-1, -1, -1]),
        ([0, 0, 0], [-1, -1, SLOTS - 1]),
        ([0, 0, 1], [-1, -1, 1]),
        ([0, 0, 2], [-1, -1, -1]),
    ],
)
def test_other_columns_are_refused(begin: list[int], size: list[int]) -> None:
    assert CUT in refusal(sliced(begin, size))


def strided(**masks: int) -> Any:
    message = message_of()
    remove(message, "Postprocessor/Slice")
    parts = [
        edit(message).const(f"part/{place}", ints(value))
        for place, value in enumerate(([0, 0, 1], [0, 0, SLOTS], [1, 1, 1]))
    ]
    inputs = ["Postprocessor/convert_scores", *parts]
    edit(message).node("StridedSlice", "Postprocessor/Slice", inputs, **masks)
    return message


@pytest.mark.parametrize("end", [3, 7])
def test_background_is_cut_off_by_strides(end: int) -> None:
    assert "background" not in notes_of(strided(begin_mask=3, end_mask=end))


@pytest.mark.parametrize("masks", [{"begin_mask": 7}, {"shrink_axis_mask": 4}])
def test_other_columns_by_strides_are_refused(masks: dict[str, int]) -> None:
    assert CUT in refusal(strided(**masks))


def test_scores_that_are_read_with_background_are_refused() -> None:
    message = message_of()
    find(message, "Postprocessor/Slice").op = "Tanh"
    del find(message, "Postprocessor/Slice").input[1:]
    assert "Postprocessor/Slice (tanh) where the scores' first column" in refusal(message)


def test_without_a_reader_of_scores_background_is_assumed() -> None:
    message = message_of()
    remove(message, "Postprocessor/Slice")
    assert "the first is assumed" in notes_of(message)


def test_a_number_divided_by_logits_is_no_score() -> None:
    message = message_of()
    scale_logits(message)
    scaled = find(message, "Postprocessor/scale_logits")
    scaled.input[:] = scaled.input[::-1]
    assert "where one concatenation of boxes belongs" in refusal(message)


@pytest.mark.parametrize("op", ["Cast", "Transpose"])
def test_logits_are_only_shaped_before_the_scores(op: str) -> None:
    message = message_of()
    more = [edit(message).const("order", ints([0, 2, 1]))] if op == "Transpose" else []
    insert(message, "Postprocessor/convert_scores", 0, op, "changed", *more)
    assert "where one concatenation of boxes belongs" in refusal(message)


def test_factors_of_one_change_nothing() -> None:
    message = message_of()
    one = edit(message).const("one", floats(1))
    insert(message, "Postprocessor/convert_scores", 0, "Mul", "same", one)
    assert import_message(message).settings["loss"] == {"classification": "sigmoid"}


def test_a_beta_of_another_type_is_no_number() -> None:
    message = message_of()
    for node in message.node:
        if node.op == "Sigmoid":
            node.attr["beta"].s = b"two"
    assert "a softmax of beta two" in refusal(message)
