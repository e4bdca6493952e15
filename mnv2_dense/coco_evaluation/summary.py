"""The twelve numbers of COCO and those of every class, out of precision and recall."""

from collections import Counter
from typing import Final

import numpy as np

from mnv2_dense.coco_evaluation.columns import Numbers
from mnv2_dense.coco_evaluation.measuring import Measured
from mnv2_dense.coco_evaluation.options import Options

UNDEFINED: Final = -1.0
"""pycocotools' value for "no ground truth of this kind"."""

_SIZES: Final = (("s", "small"), ("m", "medium"), ("l", "large"))


def summarize(measured: Measured, options: Options) -> dict[str, float]:
    """`mAP`, `AP50`, `AP75`, `APs`, `APm`, `APl`, `AR1`, `AR10`, `AR100`, `ARs`, `ARm`, `ARl`.

    With other numbers of detections than COCO's the recalls are called by those, and all else is at
    the largest. What the options have no threshold or size of that name for is undefined.
    """
    precision, recall = measured.precision, measured.recall
    limits = options.max_detections
    return {
        "mAP": average(_of_size(precision, "all", options)[..., -1]),
        "AP50": average(_of_size(_at(precision, 0.5, options), "all", options)[..., -1]),
        "AP75": average(_of_size(_at(precision, 0.75, options), "all", options)[..., -1]),
        **{f"AP{s}": average(_of_size(precision, n, options)[..., -1]) for s, n in _SIZES},
        **{
            f"AR{limit}": average(_of_size(recall, "all", options)[..., place])
            for place, limit in enumerate(limits)
        },
        **{f"AR{s}": average(_of_size(recall, n, options)[..., -1]) for s, n in _SIZES},
    }


def summarize_classes(
    measured: Measured, categories: dict[int, str], options: Options
) -> dict[str, dict[str, float]]:
    """`AP`, `AP50`, `AP75`, `APs`, `APm`, `APl` and `AR100` by class name, ordered by id.

    A name that several classes share is keyed "name (category_id)". The recall is at the largest
    number of detections, and called by it. Nothing where classes are disregarded.
    """
    if options.class_blind:
        return {}
    last = f"AR{options.max_detections[-1]}"
    scores = {}
    for place, name in enumerate(unique_names(categories)):
        own = Measured(
            measured.precision[:, :, place : place + 1], measured.recall[:, place : place + 1]
        )
        found = summarize(own, options)
        precisions = {"AP": found["mAP"], **{n: found[n] for n in _PRECISIONS}}
        scores[name] = {**precisions, last: found[last]}
    return scores


_PRECISIONS: Final = ("AP50", "AP75", "APs", "APm", "APl")


def unique_names(categories: dict[int, str]) -> list[str]:
    """Names of classes by category id; one that several share becomes "name (category_id)"."""
    repeats = Counter(categories.values())
    taken = {name for name in repeats if repeats[name] == 1}
    names = []
    for number, name in categories.items():
        unique = name
        while repeats[name] > 1 and (unique == name or unique in taken):
            unique = f"{unique} ({number})"
        taken.add(unique)
        names.append(unique)
    return names


def average(values: Numbers) -> float:
    """The mean of what is defined."""
    defined = values[values > UNDEFINED]
    return float(defined.mean()) if defined.size else UNDEFINED


def _at(precision: Numbers, threshold: float, options: Options) -> Numbers:
    """Of one IoU threshold."""
    places = np.flatnonzero(np.array(options.iou_thresholds) == threshold)
    return precision[places]


def _of_size(values: Numbers, name: str, options: Options) -> Numbers:
    """Without the axis of sizes, the last but one; nothing of a size that is not measured."""
    names = list(options.area_ranges)
    return values[..., names.index(name), :] if name in names else values[:0, ..., 0, :]
