import numpy as np

from mnv2_dense.benchmarking.evaluation.random_boxes import CROWDS, Counts, draw_boxes
from mnv2_dense.coco_evaluation import evaluate

COUNTS = Counts(images=50, objects=2000, detections=5000, classes=7)


def test_counts_and_kinds() -> None:
    truth, results = draw_boxes(COUNTS)
    lengths = tuple(len(truth[key]) for key in ("images", "annotations", "categories"))
    assert lengths == (50, 2000, 7)
    assert len(results) == 5000
    crowds = np.mean([entry["iscrowd"] for entry in truth["annotations"]])
    assert 0.3 * CROWDS < crowds < 3 * CROWDS
    assert min(min(entry["bbox"][2:]) for entry in results) >= 1
    found = evaluate(truth, results)
    assert 0.02 < found.summary["mAP"] < 0.9
    assert -1 not in found.summary.values()


def test_a_seed_draws_the_same() -> None:
    assert draw_boxes(COUNTS, seed=3) == draw_boxes(COUNTS, seed=3)
    assert draw_boxes(COUNTS, seed=3) != draw_boxes(COUNTS, seed=4)
