import functools
from typing import Any

import numpy as np
import pytest

from mnv2_dense.structures import ImageSize
from tests.importing.graph_builder import new_message
from tests.importing.networks import classifier_graph
from tests.importing.random_networks import classifier, import_message, refusal
from tests.importing.release_forms import edit, find, remove

POOL, MEAN = "MobilenetV2/Logits/AvgPool", "MobilenetV2/Logits/Mean"


@functools.cache
def _bytes(size: ImageSize | None) -> bytes:
    return classifier_graph(classifier(4, width_mult=0.35), size).SerializeToString()


def message_of(size: ImageSize | None = None) -> Any:
    message = new_message()
    message.ParseFromString(_bytes(size))
    return message


@pytest.mark.parametrize(("stride", "known"), [(1, False), (2, False), (3, True), (4, True)])
def test_padded_windows_leave_one_cell(stride: int, known: bool) -> None:
    message = message_of(ImageSize(96, 96))
    node = find(message, POOL)
    node.attr["padding"].s = b"SAME"
    node.attr["strides"].list.i[:] = [1, stride, stride, 1]
    if known:
        assert import_message(message).settings["input"]["height"] == 96
    else:
        assert f"{POOL} does not pool over height and width to one cell" in refusal(message)


@pytest.mark.parametrize(
    ("axes", "known"), [([1, 2], True), ([-2, -3], True), ([3], False), ([1], False)]
)
def test_means_are_over_height_and_width(axes: list[int], known: bool) -> None:
    message = message_of()
    remove(message, f"{MEAN}/axes")
    edit(message).const(f"{MEAN}/axes", np.array(axes, np.int32))
    if known:
        assert import_message(message).task == "classification"
    else:
        assert f"{MEAN} does not pool over height and width to one cell" in refusal(message)


def test_means_over_axes_that_are_not_known_are_refused() -> None:
    message = message_of()
    remove(message, f"{MEAN}/axes")
    edit(message).node("Shape", f"{MEAN}/axes", ["input"])
    assert f"{MEAN} does not pool over height and width to one cell" in refusal(message)


def test_a_mean_with_a_kernel_is_still_a_mean() -> None:
    message = message_of()
    find(message, MEAN).attr["kernel"].s = b"3x3"
    assert import_message(message).settings["input"]["height"] == 224


@pytest.mark.parametrize("axes", [np.array([1.0, 2.5], np.float32), np.array([b"1", b"2"], object)])
def test_axes_that_are_no_integers(axes: np.ndarray) -> None:
    message = message_of()
    remove(message, find(message, MEAN).input[1])
    edit(message).const(find(message, MEAN).input[1], axes)
    assert "does not pool over height and width" in refusal(message)
