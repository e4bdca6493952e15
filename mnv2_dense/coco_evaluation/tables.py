"""COCO's scores as text."""

from collections.abc import Mapping
from typing import Final

from mnv2_dense.coco_evaluation.summary import UNDEFINED

# Key, what is averaged, IoU thresholds, object size, detections per image; COCOeval's order.
_SUMMARY: Final = (
    ("mAP", "AP", "0.50:0.95", "all", 100),
    ("AP50", "AP", "0.50", "all", 100),
    ("AP75", "AP", "0.75", "all", 100),
    ("APs", "AP", "0.50:0.95", "small", 100),
    ("APm", "AP", "0.50:0.95", "medium", 100),
    ("APl", "AP", "0.50:0.95", "large", 100),
    ("AR1", "AR", "0.50:0.95", "all", 1),
    ("AR10", "AR", "0.50:0.95", "all", 10),
    ("AR100", "AR", "0.50:0.95", "all", 100),
    ("ARs", "AR", "0.50:0.95", "small", 100),
    ("ARm", "AR", "0.50:0.95", "medium", 100),
    ("ARl", "AR", "0.50:0.95", "large", 100),
)
SUMMARY_KEYS: Final = tuple(line[0] for line in _SUMMARY)
CLASS_KEYS: Final = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR100")


def format_summary(summary: Mapping[str, float]) -> str:
    """The twelve numbers of COCO's options in the lines that pycocotools prints."""
    words = {"AP": "Average Precision  (AP)", "AR": "Average Recall     (AR)"}
    return "\n".join(
        f" {words[kind]} @[ IoU={iou:<9} | area={area:>6} | maxDets={limit:>3} ]"
        f" = {summary[key]:0.3f}"
        for key, kind, iou, area, limit in _SUMMARY
    )


def format_classes(per_class: Mapping[str, Mapping[str, float]]) -> str:
    """One line per class, best AP first; a dash where a class has no ground truth to measure."""
    width = max(map(len, ("class", *per_class)))
    lines = [" ".join([f"{'class':<{width}}", *(f"{column:>6}" for column in CLASS_KEYS)])]
    for name, values in sorted(per_class.items(), key=lambda item: -item[1]["AP"]):
        cells = (f"{values[c]:6.3f}" if values[c] != UNDEFINED else f"{'-':>6}" for c in CLASS_KEYS)
        lines.append(" ".join([f"{name:<{width}}", *cells]))
    return "\n".join(lines)
