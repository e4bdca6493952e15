import re

import pytest

from tests.importing.random_networks import refusal
from tests.importing.release_forms import edit, find, floats, insert, ints
from tests.importing.small_detectors import message_of, notes_of

UNSTACK = "Postprocessor/Decode/unstack"
OTHERWISE = f"{UNSTACK}: its codes are not decoded as"


def test_the_releases_decoding_is_followed() -> None:
    assert notes_of(message_of()) == "the file has no NMS; the release's settings are assumed"


def test_codes_of_x_before_y_are_refused() -> None:
    message, swapped = message_of(), {"": ":1", ":1": "", ":2": ":3", ":3": ":2"}
    for node in message.node:
        for place, name in enumerate(node.input):
            if re.fullmatch(f"{UNSTACK}(:[123])?", name):
                node.input[place] = UNSTACK + swapped[name.removeprefix(UNSTACK)]
    assert OTHERWISE in refusal(message)


def test_boxes_of_x_before_y_are_refused() -> None:
    message = message_of()
    stack = find(message, "Postprocessor/Decode/stack").input
    stack[0], stack[1], stack[2], stack[3] = stack[1], stack[0], stack[3], stack[2]
    assert OTHERWISE in refusal(message)


def test_limited_sides_are_refused() -> None:
    message = message_of()
    limit = edit(message).const("limit", floats(4.135))
    insert(message, "Postprocessor/Decode/Exp", 0, "Minimum", "limited", limit)
    assert OTHERWISE in refusal(message)


@pytest.mark.parametrize("reader", ["Squeeze", "Postprocessor/Reshape_1"])
def test_codes_that_are_scaled_before_are_refused(reader: str) -> None:
    message = message_of()
    insert(message, reader, 0, "Mul", "half", edit(message).const("half/y", floats(0.5)))
    assert "half (mul) changes box codes before they are decoded" in refusal(message)


def test_what_cannot_be_followed_is_assumed() -> None:
    message = message_of()
    insert(message, "Postprocessor/Decode/Exp", 0, "Softplus", "unknown")
    assert "codes (ty, tx, th, tw) are assumed" in notes_of(message)


def test_a_graph_that_ends_before_is_assumed() -> None:
    message = message_of()
    keep = [
        node
        for node in message.node
        if not node.name.startswith(("Postprocessor/", "Squeeze"))
        or node.name.startswith(("Postprocessor/convert_scores", "Postprocessor/Slice"))
    ]
    names = {node.name for node in keep}
    for node in [each for each in message.node if each.name not in names]:
        message.node.remove(node)
    assert "codes (ty, tx, th, tw) of scales 10, 10, 5, 5 are assumed" in notes_of(message)


def test_two_decodings_are_refused() -> None:
    message = message_of()
    rows = edit(message).const("more/shape", ints([-1, 4]))
    data = edit(message).node("Reshape", "more/Reshape", ["Squeeze", rows])
    edit(message).node("Unpack", "more/Unpack", [data], num=4, axis=1)
    assert "both decode boxes" in refusal(message)
