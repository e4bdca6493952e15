import numpy as np
import pytest

from mnv2_dense.coco_evaluation.options import Options
from mnv2_dense.coco_evaluation.records import GroundTruth, Results
from mnv2_dense.coco_evaluation.reference import measure

BOXES = np.array([[0.0, 0, 50, 50], [100, 0, 50, 50]])
NONE = np.zeros(2, dtype=np.bool_)
TRUTH = GroundTruth(
    np.array([4]),
    {3: "cat"},
    *(np.array([4, 4]), np.array([3, 3]), BOXES, np.array([2500.0, 2500]), NONE, NONE),
)
FOUND = Results(np.array([4, 4]), np.array([3, 3]), BOXES, np.array([0.9, 0.8]))


def test_difficult_objects_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    one = Results(FOUND.images[:1], FOUND.labels[:1], FOUND.boxes[:1], FOUND.scores[:1])
    missed = TRUTH._replace(difficult=np.array([False, True]))
    assert measure(missed, one, TRUTH.image_ids, Options()).recall[0, 0, 0, -1] == 1
    assert measure(TRUTH, one, TRUTH.image_ids, Options()).recall[0, 0, 0, -1] == 0.5
    found = measure(missed, FOUND, TRUTH.image_ids, Options())
    assert found.precision[0, :, 0, 0, -1].tolist() == pytest.approx([1] * 101)
    assert capsys.readouterr() == ("", "")


def test_options_reach_pycocotools() -> None:
    options = Options(
        iou_thresholds=(0.5,),
        recall_thresholds=(0.0, 0.6),
        max_detections=(1, 2),
        area_ranges={"all": (0, 1e5), "none": (0, 9)},
        class_blind=True,
    )
    found = measure(TRUTH, FOUND, TRUTH.image_ids, options)
    assert found.recall.tolist() == [[[[0.5, 1], [-1, -1]]]]
    assert found.precision[0, :, 0, 0].tolist() == pytest.approx(np.array([[1, 1], [0, 1]]))
