"""Compares the error analysis with tidecv, which is installed separately; see README.md.

python compare_with_tidecv.py [--their-recalls] INSTANCES.json DETECTIONS.json
python compare_with_tidecv.py [--their-recalls] --random SCENES
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from random_scenes import random_scene
from tidecv import TIDE
from tidecv.data import Data
from tidecv.errors import main_errors

from mnv2_dense.error_analysis import analyze_errors, precision

KINDS = {
    "classification": main_errors.ClassError,
    "localization": main_errors.BoxError,
    "both": main_errors.OtherError,
    "duplicate": main_errors.DuplicateError,
    "background": main_errors.BackgroundError,
    "missed": main_errors.MissedError,
}
ALL = {
    **KINDS,
    "false_positives": main_errors.FalsePositiveError,
    "false_negatives": main_errors.FalseNegativeError,
}
Numbers = dict[str, float]


def main() -> None:
    """Prints a comparison."""
    parser = argparse.ArgumentParser()
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--random", type=int)
    parser.add_argument("--their-recalls", action="store_true")
    options = parser.parse_args()
    if options.their_recalls:
        precision.RECALLS = np.arange(101) / 100
    if options.random:
        print_differences(options.random)
    else:
        truth, results = (json.loads(path.read_text()) for path in options.files)
        print_table(truth, results)


def print_differences(scenes: int) -> None:
    """The largest ones over random scenes."""
    differences = []
    for seed in range(scenes):
        try:
            differences.append(compare(*random_scene(seed)))
        except ZeroDivisionError:  # A fix leaves nothing, and tidecv has nothing to average.
            continue
    print(f"{len(differences)} scenes of {scenes} that tidecv can do, the largest differences:")
    for name in differences[0]:
        print(f"{name:32}{max(each[name] for each in differences):.3g}")


def print_table(truth: dict[str, Any], results: list[dict[str, Any]]) -> None:
    """One evaluation, side by side."""
    run, found = run_tidecv(truth, results), analyze_errors(truth, results).as_dict()
    theirs, averaged, ours = daps_of(run), average(of_classes(run, truth)), daps_in(found)
    counts = run.count_errors()
    print(f"{'':17}{'tidecv':>10}{'of objects':>12}{'ours':>10}{'count':>8}{'ours':>8}")
    for name, value in ours.items():
        line = f"{name:17}{theirs[name]:10.6f}{averaged[name]:12.6f}{value:10.6f}"
        if name in KINDS:
            line += f"{counts[KINDS[name]]:8}{found['errors'][name]['count']:8}"
        print(line)


def compare(truth: dict[str, Any], results: list[dict[str, Any]]) -> Numbers:
    """The largest differences in one evaluation."""
    run, found = run_tidecv(truth, results), analyze_errors(truth, results).as_dict()
    theirs, own, ours = daps_of(run), of_classes(run, truth), daps_in(found)
    averaged, counts = average(own), run.count_errors()
    classes = [daps_in(each) for each in found["classes"] if each["objects"]]
    with_objects = {each["category_id"] for each in found["classes"] if each["objects"]}
    as_it_is = {each["category_id"] for each in results} <= with_objects
    return {
        "as tidecv averages": max(abs(theirs[n] - ours[n]) for n in ours) if as_it_is else 0.0,
        "over classes with objects": max(abs(averaged[n] - ours[n]) for n in ours),
        "of a class": max(
            (abs(a[n] - b[n]) for a, b in zip(losses(own), classes, strict=True) for n in ours),
            default=0.0,
        ),
        "count": max(abs(counts[KINDS[n]] - found["errors"][n]["count"]) for n in KINDS),
    }


def run_tidecv(truth: dict[str, Any], results: list[dict[str, Any]]) -> Any:
    """A run of tidecv over boxes; crowds are its regions to ignore."""
    objects, found = Data("truth"), Data("results")
    for image in truth["images"]:
        objects.add_image(image["id"], str(image["id"]))
    for each in truth["annotations"]:
        add = objects.add_ignore_region if each["iscrowd"] else objects.add_ground_truth
        add(each["image_id"], each["category_id"], each["bbox"])
    for each in results:
        found.add_detection(each["image_id"], each["category_id"], each["score"], each["bbox"])
    return TIDE().evaluate(objects, found, mode=TIDE.BOX)


def daps_of(run: Any) -> Numbers:
    """AP, and dAP by kind, as tidecv says them, in 0 to 1."""
    daps = {**run.fix_main_errors(), **run.fix_special_errors()}
    return {"ap50": run.ap / 100, **{name: daps[kind] / 100 for name, kind in ALL.items()}}


def of_classes(run: Any, truth: dict[str, Any]) -> dict[str, list[float | None]]:
    """AP of the classes with objects by what tidecv fixed; None if nothing is left of a class."""
    fixed = {
        "ap50": run.ap_data,
        **{
            name: run.fix_errors(lambda error, kind=kind: isinstance(error, kind))
            for name, kind in KINDS.items()
        },
        "false_positives": run.fix_errors(transform=main_errors.FalsePositiveError.fix),
        "false_negatives": run.fix_errors(false_neg_dict=run.false_negatives),
    }
    classes = sorted({e["category_id"] for e in truth["annotations"] if not e["iscrowd"]})
    return {
        name: [
            None if data.objs[number].is_empty() else data.objs[number].get_ap() / 100
            for number in classes
        ]
        for name, data in fixed.items()
    }


def average(own: dict[str, list[float | None]]) -> Numbers:
    """AP, and dAP by kind, over classes with objects."""
    means = {n: float(np.mean([v for v in own[n] if v is not None] or [1.0])) for n in own}
    return {n: mean if n == "ap50" else mean - means["ap50"] for n, mean in means.items()}


def losses(own: dict[str, list[float | None]]) -> list[Numbers]:
    """The same of each class."""
    rows = [dict(zip(own, row, strict=True)) for row in zip(*own.values(), strict=True)]
    return [average({name: [value] for name, value in row.items()}) for row in rows]


def daps_in(part: dict[str, Any]) -> Numbers:
    """AP, and dAP by kind, out of our dictionaries."""
    special = {name: part[name] for name in ("false_positives", "false_negatives")}
    found = {**part["errors"], **special}
    return {"ap50": part["ap50"], **{name: loss["dap"] for name, loss in found.items()}}


if __name__ == "__main__":
    main()
