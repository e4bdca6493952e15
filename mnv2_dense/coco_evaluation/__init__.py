"""COCO's evaluation of boxes, exactly as pycocotools has it, in NumPy; see docs/evaluation.md."""

from mnv2_dense.coco_evaluation.evaluation import Evaluation, evaluate
from mnv2_dense.coco_evaluation.files import (
    evaluate_files,
    read_ground_truth,
    read_results,
    write_results,
)
from mnv2_dense.coco_evaluation.instances import ground_truth_of
from mnv2_dense.coco_evaluation.options import Options
from mnv2_dense.coco_evaluation.records import (
    GroundTruth,
    Results,
    records_of,
    results_from_arrays,
    results_of,
)

__all__ = [
    "Evaluation",
    "GroundTruth",
    "Options",
    "Results",
    "evaluate",
    "evaluate_files",
    "ground_truth_of",
    "read_ground_truth",
    "read_results",
    "records_of",
    "results_from_arrays",
    "results_of",
    "write_results",
]
