import pytest
import torch

from mnv2_dense.detection.metrics import CocoDetectionMetric
from mnv2_dense.joint.metrics import JointMetric
from mnv2_dense.segmentation.metrics import SegmentationMetric
from mnv2_dense.structures import Category, Detections

TRUTH = {
    "images": [{"id": 1, "height": 50, "width": 50, "file_name": "a.jpg"}],
    "categories": [{"id": 3, "name": "cat"}],
    "annotations": [
        {
            "id": 1,
            "image_id": 1,
            "category_id": 3,
            "bbox": [0, 0, 20, 20],
            "area": 400,
            "iscrowd": 0,
        }
    ],
}


def test_both_are_measured_and_the_score_is_the_mean() -> None:
    masked = (Category(0, "background"), Category(1, "cat"))
    metric = JointMetric(
        CocoDetectionMetric(lambda: TRUTH, (Category(3, "cat"),)), SegmentationMetric(masked)
    )
    perfect = Detections(
        torch.tensor([[0.0, 0.0, 20.0, 20.0]]), torch.ones(1), torch.zeros(1, dtype=torch.int64)
    )
    metric.detection.update([1], [perfect])
    reference = torch.tensor([[0, 0, 1, 1]], dtype=torch.uint8)
    metric.segmentation.update(torch.tensor([[0, 0, 0, 1]], dtype=torch.uint8), reference)
    scores = metric.compute()
    # IoU 2/3 of background, 1/2 of cat.
    assert scores.summary["mAP"] == pytest.approx(1)
    assert scores.summary["mIoU"] == pytest.approx(7 / 12)
    assert scores.summary["score"] == scores.score == pytest.approx((1 + 7 / 12) / 2)
    values = scores.as_dict()
    assert values["score"] == scores.score
    assert values["detection"]["mAP"] == scores.summary["mAP"]
    assert values["segmentation"]["confusion_matrix"] == [[2, 0], [1, 1]]
    metric.reset()
    assert metric.segmentation.matrix.sum() == 0
