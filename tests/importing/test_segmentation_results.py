import functools
from typing import Any

import pytest

from mnv2_dense.structures import ImageSize
from tests.importing.graph_builder import new_message
from tests.importing.networks import deeplab_graph
from tests.importing.random_networks import import_message, refusal, segmenter
from tests.importing.release_forms import crop_result, edit, find, insert, ints, remove

SIZE = ImageSize(65, 65)
CLASSES = 5


@functools.cache
def _bytes() -> bytes:
    network = segmenter(CLASSES, {"width_mult": 0.35}, channels=8)
    return deeplab_graph(network, SIZE).SerializeToString()


def message_of() -> Any:
    message = new_message()
    message.ParseFromString(_bytes())
    return message


def test_labels_may_be_cut_and_resized() -> None:
    message = message_of()
    crop_result(message)
    insert(message, "ArgMax", 0, "Softmax", "probabilities")
    assert import_message(message).notes == ()


def test_the_least_likely_class_is_refused() -> None:
    message = message_of()
    find(message, "SemanticPredictions").op = "ArgMin"
    assert "SemanticPredictions (arg_min) behind the logits" in refusal(message)


def test_a_maximum_over_another_axis_is_refused() -> None:
    message = message_of()
    remove(message, "ArgMax/dimension")
    edit(message).const("ArgMax/dimension", ints(2))
    assert "SemanticPredictions (arg_max) behind the logits" in refusal(message)


@pytest.mark.parametrize("op", ["ResizeNearestNeighbor", "ResizeBicubic"])
def test_logits_that_are_resized_otherwise_are_refused(op: str) -> None:
    message = message_of()
    find(message, "ResizeBilinear_1").op = op
    assert "ResizeBilinear_1 (resize_" in refusal(message)


@pytest.mark.parametrize("reader", ["ResizeBilinear_1", "SemanticPredictions"])
def test_changed_logits_are_refused(reader: str) -> None:
    message = message_of()
    insert(message, reader, 0, "Tanh", "tanh")
    assert "tanh (tanh) behind the logits" in refusal(message)


def test_changed_labels_are_refused() -> None:
    message = message_of()
    edit(message).node("Tanh", "tanh", ["SemanticPredictions"])
    assert "tanh (tanh) behind the labels" in refusal(message)


@pytest.mark.parametrize(("first", "count"), [(0, CLASSES), (0, -1), (1, -1), (0, CLASSES - 1)])
def test_all_classes_are_compared(first: int, count: int) -> None:
    message = message_of()
    begin = edit(message).const("part/begin", ints([0, 0, 0, first]))
    size = edit(message).const("part/size", ints([-1, 30, 30, count]))
    insert(message, "SemanticPredictions", 0, "Slice", "part", begin, size)
    if first == 0 and count in (-1, CLASSES):
        assert len(import_message(message).categories) == CLASSES
    else:
        assert "part (slice) behind the logits" in refusal(message)
