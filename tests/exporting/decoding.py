"""Drawn scores and boxes, and what the Decoder makes of them."""

from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st
from numpy.typing import NDArray

from mnv2_dense.detection.coding import decode_boxes
from mnv2_dense.detection.decode import Decoder
from mnv2_dense.detection.network import DetectorOutputs
from mnv2_dense.ops.boxes import center_to_corner
from mnv2_dense.prediction.engine import DetectorArrays
from mnv2_dense.structures import ImageSize

_CHANGES: dict[str, dict[str, Any]] = {
    "per_class": {},
    "per_class_limited": {"max_detections_per_class": 1, "max_candidates": None},
    "across_classes": {"nms": "across_classes", "max_candidates": None},
    "across_classes_limited": {"nms": "across_classes", "max_detections_per_class": 1},
    # 0.6 is no number of float32.
    "of_all_scores": {"score_threshold": 0.0, "nms_iou_threshold": 0.6, "max_detections": 50},
}
DECODINGS: dict[str, dict[str, Any]] = {
    name: {
        "score_threshold": 0.3,
        "nms": "per_class",
        "nms_iou_threshold": 0.5,
        "max_candidates": 12,
        "max_detections_per_class": None,
        "max_detections": 5,
        **changes,
    }
    for name, changes in _CHANGES.items()
}
LOGITS = (-3.0, -1.0, 0.0, 0.5, 2.0, float("nan"))
DELTAS = (0.0, 0.0, 0.0, float("nan"), float("inf"), float("-inf"), 60.0)
GRID = 8
"""Sides are multiples of an eighth: overlaps are exact, and often equal to a threshold."""


@st.composite
def drawn_outputs(draw: st.DrawFn) -> DetectorOutputs:
    pictures, anchors = draw(st.integers(1, 3)), draw(st.integers(1, 9))
    slots = draw(st.integers(2, 4))

    def fill(*shape: int, values: tuple[float, ...]) -> torch.Tensor:
        count = int(np.prod(shape))
        drawn = draw(st.lists(st.sampled_from(values), min_size=count, max_size=count))
        return torch.tensor(drawn).reshape(shape)

    places = tuple(place / GRID for place in range(-2, GRID + 3))
    sides = tuple(side / GRID for side in (2, 4, 6))
    boxes = torch.cat([fill(anchors, 2, values=places), fill(anchors, 2, values=sides)], dim=1)
    return DetectorOutputs(
        fill(pictures, anchors, slots, values=LOGITS),
        fill(pictures, anchors, 4, values=DELTAS),
        boxes,
    )


def scores_and_boxes(outputs: DetectorOutputs) -> tuple[torch.Tensor, torch.Tensor]:
    """What decoding begins with."""
    boxes = center_to_corner(decode_boxes(outputs.box_deltas, outputs.anchors))
    return outputs.class_logits.sigmoid()[..., 1:], boxes


def require_same(outputs: DetectorOutputs, decoding: dict[str, Any], found: DetectorArrays) -> None:
    """Compares with the Decoder, bit for bit."""
    decoder = Decoder(activation="sigmoid", **decoding)
    sizes = [ImageSize(1, 1)] * len(outputs.class_logits)
    for expected, *given in zip(decoder(outputs, sizes), *found, strict=True):
        count = len(expected.scores)
        filled: NDArray[np.float32] = given[1]
        assert (filled[count:] == 0).all()
        for ours, theirs in zip(expected, given, strict=True):
            np.testing.assert_array_equal(theirs[:count], ours.numpy())
