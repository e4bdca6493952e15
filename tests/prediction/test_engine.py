import numpy as np
import pytest

from mnv2_dense.errors import UserError
from mnv2_dense.prediction.engine import (
    DetectorArrays,
    SegmenterArrays,
    check_detections,
    check_labels,
)

BOXES = np.zeros((2, 3, 4), np.float32)
SCORES = np.full((2, 3), 0.5, np.float32)
LABELS = np.ones((2, 3), np.int64)
IMAGES = np.zeros((2, 6, 8, 3), np.uint8)
MAPS = np.ones((2, 6, 8), np.uint8)
LOGITS = np.zeros((2, 3, 2, 2), np.float32)


def test_what_our_files_give_passes() -> None:
    check_detections(DetectorArrays(BOXES, SCORES, LABELS), pictures=2, classes=2)
    check_detections(DetectorArrays(BOXES, SCORES, LABELS), pictures=1, classes=2)
    none = DetectorArrays(BOXES[:, :0], SCORES[:, :0], LABELS[:, :0])
    check_detections(none, pictures=2, classes=2)
    # What fills up may have any label.
    check_detections(DetectorArrays(BOXES, 0 * SCORES, 9 * LABELS), pictures=2, classes=2)
    check_labels(SegmenterArrays(MAPS, LOGITS), IMAGES, classes=3)


@pytest.mark.parametrize(
    "found",
    [
        DetectorArrays(BOXES[:1], SCORES[:1], LABELS[:1]),
        DetectorArrays(BOXES[..., :3], SCORES, LABELS),
        DetectorArrays(BOXES + np.float32(np.nan), SCORES, LABELS),
        DetectorArrays(BOXES, SCORES + np.float32(np.nan), LABELS),
        DetectorArrays(BOXES, SCORES + 1, LABELS),
        DetectorArrays(BOXES, SCORES, 2 * LABELS),
        DetectorArrays(BOXES, SCORES, -LABELS),
        DetectorArrays(BOXES, SCORES, LABELS[:, :2]),
        DetectorArrays(BOXES, SCORES, LABELS.astype(np.float32)),  # pyrefly: ignore
        DetectorArrays(BOXES[0], SCORES[0], LABELS[0]),
    ],
)
def test_other_boxes_are_refused(found: DetectorArrays) -> None:
    with pytest.raises(UserError, match="gives no boxes as it should"):
        check_detections(found, pictures=2, classes=2)


@pytest.mark.parametrize(
    "found",
    [
        SegmenterArrays(MAPS[:1], LOGITS),
        SegmenterArrays(MAPS, LOGITS[:1]),
        SegmenterArrays(MAPS[:, :5], LOGITS),
        SegmenterArrays(3 * MAPS, LOGITS),
        SegmenterArrays(MAPS, LOGITS[:, :2]),
        SegmenterArrays(MAPS, LOGITS[0]),
        SegmenterArrays(MAPS.astype(np.int64), LOGITS),  # pyrefly: ignore
    ],
)
def test_other_label_maps_are_refused(found: SegmenterArrays) -> None:
    with pytest.raises(UserError, match="gives no label map as it should"):
        check_labels(found, IMAGES, classes=3)
