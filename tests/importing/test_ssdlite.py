from typing import Any

import numpy as np
import pytest

from mnv2_dense.importing.found import Imported
from tests.importing.random_networks import assert_same_states, import_message, refusal
from tests.importing.release_forms import (
    SCALES,
    compute_anchors,
    edit,
    find,
    insert,
    ints,
    remove,
    scale_logits,
    suppress,
)
from tests.importing.small_detectors import CELLS, message_of, network

RELEASE_DECODE = {
    "score_threshold": 1e-8,
    "nms_iou_threshold": 0.6,
    "max_candidates": None,
    "max_detections_per_class": 100,
    "max_detections": 100,
}


def anchors_of(imported: Imported) -> dict[str, Any]:
    return imported.settings["anchors"]


# The release's own forms


def test_the_releases_decoding() -> None:
    imported = import_message(message_of())
    assert imported.settings["decode"] == RELEASE_DECODE
    assert imported.settings["loss"] == {"classification": "sigmoid"}
    assert any("no NMS" in note for note in imported.notes)


def test_a_release_with_anchor_generator_and_nms() -> None:
    message = message_of()
    compute_anchors(message, CELLS)
    suppress(message, score=0.01, iou=0.55, per_class=50, classes=3, total=70)
    scale_logits(message)
    imported = import_message(message)
    assert_same_states(imported.state, network().state_dict())
    assert imported.settings["decode"] == {
        **RELEASE_DECODE,
        "score_threshold": 0.01,
        "nms_iou_threshold": 0.55,
        "max_detections_per_class": 50,
        "max_detections": 70,
    }
    assert imported.notes == ()
    assert "anchors" in imported.not_needed["MultipleGridAnchorGenerator/grid_3/scales"]


def test_anchors_of_other_scales_are_read() -> None:
    message = message_of()
    scales = (0.15, 0.3, 0.45, 0.6, 0.75, 0.9, 1.0)
    compute_anchors(message, CELLS, scales)
    found = anchors_of(import_message(message))
    assert (found["min_scale"], found["max_scale"]) == (0.15, 0.9)
    assert found["aspect_ratios"] == (1.0, 2.0, 0.5, 3.0, 0.3333)


def test_computed_anchors_are_checked() -> None:
    message = message_of()
    compute_anchors(message, CELLS, (*SCALES[:2], 0.52, *SCALES[3:]))
    assert "its anchors are not those of the released SSD generator" in refusal(message)


def anchors_of_maps(*scales: float) -> Any:
    message = message_of()
    compute_anchors(message, CELLS, scales or SCALES)
    shape = edit(message).node("Shape", "map_shape", ["FeatureExtractor/MobilenetV2/Conv/Relu6"])
    steps = next(node for node in message.node if node.op == "Range")
    steps.input[1] = shape
    return message


def test_anchors_that_need_maps_are_assumed() -> None:
    imported = import_message(anchors_of_maps())
    assert imported.notes[0].startswith("anchors are computed from the maps")
    assert "could not be checked" in imported.notes[0]
    assert imported.settings["anchors"] == {}
    assert "anchors" in imported.not_needed["MultipleGridAnchorGenerator/grid_3/scales"]


def test_other_scales_of_anchors_that_need_maps_are_refused() -> None:
    words = refusal(anchors_of_maps(0.15, 0.3, 0.45, 0.6, 0.75, 0.9, 1.0))
    assert "grid_0/scales (0.1, 0.15, 0.15) are no scales or ratios of the release" in words


# Others


ANCHORS = "Postprocessor/ExpandDims"


def take_anchors(message: Any) -> np.ndarray:
    """Takes the table [1, A, 4] out of a message."""
    content = find(message, ANCHORS).attr["value"].tensor.tensor_content
    remove(message, ANCHORS)
    return np.frombuffer(content, np.float32).reshape(1, -1, 4).copy()


def test_other_anchors_are_refused() -> None:
    message = message_of()

    values = take_anchors(message)
    values[0, 7, 1] -= 0.01
    edit(message).const(ANCHORS, values)
    words = refusal(message)
    assert "not those of the released SSD generator: anchor 7 is" in words


def test_anchors_of_another_number_are_not_taken_for_anchors() -> None:
    message = message_of()
    edit(message).const(ANCHORS, take_anchors(message)[:, 1:])
    assert "Postprocessor/ExpandDims" in refusal(message)


def test_other_box_scales_are_refused() -> None:
    message = message_of()
    for name in ("Postprocessor/Decode/div_recip", "Postprocessor/Decode/div_2_recip"):
        remove(message, name)
        edit(message).const(name, np.float32(0.2))
    assert "box scales 5, 5, 5, 5 instead of 10, 10, 5, 5" in refusal(message)


def test_aligned_corners_of_pictures_are_refused() -> None:
    message = message_of()
    find(message, "Preprocessor/ResizeBilinear").attr["align_corners"].b = True
    assert "align_corners" in refusal(message)


def test_a_softmax_over_classes_is_the_softmax_loss() -> None:
    message = message_of()
    find(message, "Postprocessor/convert_scores").op = "Softmax"
    loss = import_message(message).settings["loss"]
    assert loss == {"classification": "softmax"}


def test_scaled_logits_are_refused() -> None:
    message = message_of()
    scale_logits(message, 2.0)
    assert "concat, concat_1 where one concatenation of boxes belongs" in refusal(message)


def test_two_concatenations_of_boxes_are_refused() -> None:
    message = message_of()
    copy = message.node.add()
    copy.CopyFrom(find(message, "concat"))
    copy.name = "concat_2"
    assert "concat, concat_2 where one concatenation of boxes belongs" in refusal(message)


def test_levels_of_different_class_counts_are_refused() -> None:
    message = message_of()
    scope = "BoxPredictor_2/ClassPredictor"
    for name, shape in ((f"{scope}/weights", (1, 1, 32, 30)), (f"{scope}/biases", (30,))):
        remove(message, name)
        edit(message).const(name, np.zeros(shape, np.float32))
    assert "levels of different class counts" in refusal(message)


def test_boxes_and_scores_of_one_level_read_one_map() -> None:
    message = message_of()
    boxes = find(message, "BoxPredictor_3/BoxEncodingPredictor_depthwise/depthwise")
    boxes.input[0] = find(message, "BoxPredictor_4/ClassPredictor_depthwise/depthwise").input[0]
    refusal(message)


@pytest.mark.parametrize("reader", ["BoxPredictor_0/Reshape", "BoxPredictor_0/Reshape_1"])
@pytest.mark.parametrize("op", ["Transpose", "Tanh"])
def test_predictions_are_only_shaped_before_they_are_joined(reader: str, op: str) -> None:
    message = message_of()
    more = [edit(message).const("order", ints([0, 2, 1, 3]))] if op == "Transpose" else []
    insert(message, reader, 0, op, "changed", *more)
    words = refusal(message)
    assert "changed (transpose)" in words or "concatenation of" in words


def test_levels_are_joined_by_anchors() -> None:
    message = message_of()
    remove(message, "concat/axis")
    edit(message).const("concat/axis", ints(2))
    assert "concat joins levels along another axis than 1" in refusal(message)
