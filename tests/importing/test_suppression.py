from typing import Any

import pytest

from tests.importing.random_networks import import_message, refusal
from tests.importing.release_forms import edit, find, floats, ints, suppress
from tests.importing.small_detectors import message_of, notes_of

NMS = "NonMaxSuppressionV2"


def suppressed() -> Any:
    message = message_of()
    suppress(message, score=0.3, iou=0.5, per_class=60, classes=3, total=80)
    return message


def decode_of(message: Any) -> Any:
    return import_message(message).settings["decode"]


def to_version(message: Any, version: int, *more: float) -> Any:
    """NMS as a later version, which reads more numbers."""
    for node in message.node:
        if node.op == NMS:
            node.op = f"NonMaxSuppressionV{version}"
            names = [f"{node.name}/more_{place}" for place, _ in enumerate(more)]
            node.input.extend(names)
            for name, value in zip(names, more, strict=True):
                edit(message).const(name, floats(value))
    return message


def test_all_limits_are_read() -> None:
    assert decode_of(suppressed()) == {
        "score_threshold": 0.3,
        "nms_iou_threshold": 0.5,
        "max_candidates": None,
        "max_detections_per_class": 60,
        "max_detections": 80,
    }
    assert notes_of(suppressed()) == ""


def test_several_thresholds_are_noted() -> None:
    message = suppressed()
    edit(message).node("Greater", "other", ["image_tensor", edit(message).const("y", floats(0.7))])
    assert decode_of(message)["score_threshold"] == 1e-8
    assert "release's are assumed: score_threshold 1e-08" in notes_of(message)


def test_a_total_that_is_not_constant_is_noted() -> None:
    message = suppressed()
    end = next(node.input[1] for node in message.node if node.op == "Range")
    find(message, end).op = "Maximum"
    assert decode_of(message)["max_detections"] == 100
    assert "release's are assumed: max_detections 100" in notes_of(message)


def test_scores_may_equal_the_threshold() -> None:
    message = suppressed()
    for node in message.node:
        if node.op == "Greater":
            node.op = "GreaterEqual"
    assert decode_of(message)["score_threshold"] == 0.3


@pytest.mark.parametrize(("own", "wanted"), [(0.4, 0.4), (0.1, 0.3), (-1e9, 0.3)])
def test_the_higher_threshold_holds(own: float, wanted: float) -> None:
    message = to_version(suppressed(), 5, own, 0)
    assert decode_of(message)["score_threshold"] == wanted


def test_soft_nms_is_refused() -> None:
    assert "soft NMS" in refusal(to_version(suppressed(), 5, 0.25, 0.5))


def test_an_iou_of_zero_is_one() -> None:
    message = message_of()
    suppress(message, score=0.3, iou=0.0, per_class=60, classes=3)
    assert decode_of(message)["nms_iou_threshold"] == 0


def test_classes_of_different_nms_are_refused() -> None:
    message = suppressed()
    node = next(node for node in message.node if node.op == NMS)
    node.input[3] = edit(message).const("another", floats(0.7))
    assert "of different settings" in refusal(message)


def test_combined_nms_is_read() -> None:
    message = message_of()
    settings = [ints(60), ints(80), floats(0.5), floats(0.3)]
    names = [edit(message).const(f"nms/{place}", each) for place, each in enumerate(settings)]
    inputs = ["Postprocessor/ExpandDims_1", "Postprocessor/Slice", *names]
    edit(message).node("CombinedNonMaxSuppression", "nms", inputs)
    found = decode_of(message)
    assert (found["max_detections_per_class"], found["max_detections"]) == (60, 80)
    assert (found["nms_iou_threshold"], found["score_threshold"]) == (0.5, 0.3)
    assert notes_of(message) == ""


def test_attributes_of_another_type_are_not_read() -> None:
    message = suppressed()
    for node in message.node:
        if node.op == NMS:
            node.op = "NonMaxSuppression"
            del node.input[3:]
            node.attr["iou_threshold"].s = b"half"
    assert decode_of(message)["nms_iou_threshold"] == 0.6


@pytest.mark.parametrize("count", [float("inf"), float("nan"), -1.0, 0.0, 2.0**40])
def test_counts_of_boxes_that_are_none(count: float) -> None:
    message = suppressed()
    for node in message.node:
        if node.op == NMS:
            node.input[2] = "count"
    edit(message).const("count", floats(count))
    assert "boxes" in refusal(message)


def test_endless_nms_is_refused() -> None:
    message = suppressed()
    first = find(message, next(node.name for node in message.node if node.op == NMS))
    for index in range(1000):
        message.node.add().CopyFrom(first)
        message.node[-1].name = f"more{index}"
    assert "operations of NMS" in refusal(message)
