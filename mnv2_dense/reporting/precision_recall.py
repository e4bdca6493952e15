"""Precision over recall, the mean of all classes and each of them."""

from xml.etree.ElementTree import Element

import numpy as np

from mnv2_dense.coco_evaluation.columns import Numbers
from mnv2_dense.coco_evaluation.evaluation import COCO
from mnv2_dense.pages.charts import COLORS
from mnv2_dense.reporting.line_chart import Axes, Line, draw_lines

FAINT_CLASSES = 100
"""Classes up to which each has a line, in gray where there are more than colours."""
_AXES = Axes("recall", (0.0, 1.0), (0.0, 1.0))


def draw_curves(precision: Numbers, names: list[str], iou: float) -> Element:
    """The curves at one IoU.

    Args:
        precision: [R, K], by COCO's 101 recall thresholds and class; -1 of a class without objects.
        names: Of the classes.
        iou: At which detections match.
    """
    measured = np.flatnonzero(precision[0] >= 0)
    recalls = list(COCO.recall_thresholds)
    title = f"IoU {iou}"
    if not len(measured):
        return draw_lines(title, [Line("no objects", [0.0, 1.0], [0.0, 0.0])], _AXES)
    mean = precision[:, measured].mean(axis=1)
    lines = [Line("mean over classes", recalls, mean.tolist())]
    colored = len(measured) < COLORS
    if 1 < len(measured) <= FAINT_CLASSES:
        lines += [
            Line(names[label], recalls, precision[:, label].tolist(), place if colored else None)
            for place, label in enumerate(measured.tolist(), start=1)
        ]
    gray = 1 < len(measured) <= FAINT_CLASSES and not colored
    area = f"AP {mean.mean():.3f}"
    return draw_lines(title, lines, _AXES, f"{area}; gray: every class" if gray else area)
