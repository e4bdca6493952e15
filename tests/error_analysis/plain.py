"""TIDE's definition once more, a detection at a time, with pycocotools' IoU: to compare with."""

from typing import Any, NamedTuple

import numpy as np
from pycocotools import mask

from mnv2_dense.coco_evaluation.records import GroundTruth, Results

KINDS = ("classification", "localization", "both", "duplicate", "background", "missed")


class Found(NamedTuple):
    """A detection: where it stands among all, its class, whether it is right, and its error."""

    rank: tuple[float, int, int]
    label: int
    hit: bool
    ignored: bool
    kind: str | None
    target: int | None


def analyze(
    truth: GroundTruth, results: Results, image_ids: list[int]
) -> tuple[float, dict[str, tuple[float, int]]]:
    """AP50, and dAP and count by kind and for `false_positives` and `false_negatives`."""
    all_found: list[Found] = []
    unfound: set[int] = set()
    for image in image_ids:
        own, left = look_at(truth, results, image)
        all_found += own
        unfound |= left
    best: dict[int, Found] = {}
    for each in sorted(all_found):
        if each.target in unfound:
            best.setdefault(each.target, each)
    counted = [n for n in range(len(truth.labels)) if truth.images[n] in image_ids]
    counted = [n for n in counted if not (truth.crowds[n] or truth.difficult[n])]
    objects = [int(truth.labels[n]) for n in counted]
    now = score([(e.rank, e.label, e.hit) for e in all_found if not e.ignored], objects, objects)
    losses = {}
    for kind in KINDS[:-1]:
        fixed = []
        for each in all_found:
            label, hit = each.label, each.hit
            if not hit and each.kind == kind:
                if each.target is None or best.get(each.target) != each:
                    continue
                label, hit = int(truth.labels[each.target]), True
            elif each.ignored:
                continue
            fixed.append((each.rank, label, hit))
        number = sum(not e.hit and e.kind == kind for e in all_found)
        losses[kind] = score(fixed, objects, objects) - now, number
    listed = [(e.rank, e.label, e.hit) for e in all_found if not e.ignored]
    missed = unfound - set(best)
    for name, gone in (("missed", missed), ("false_negatives", unfound)):
        left = [int(truth.labels[n]) for n in counted if n not in gone]
        losses[name] = score(listed, left, objects) - now, len(gone)
    right = [each for each in listed if each[2]]
    losses["false_positives"] = score(right, objects, objects) - now, len(listed) - len(right)
    return (now if objects else -1.0), losses


def look_at(truth: GroundTruth, results: Results, image: int) -> tuple[list[Found], set[int]]:
    """The detections of one image and its objects that are not found."""
    order = [
        n for n in np.flatnonzero(results.images == image) if results.labels[n] in truth.categories
    ]
    order = sorted(order, key=lambda n: -results.scores[n])[:100]
    things = [int(n) for n in np.flatnonzero(truth.images == image)]
    counts = [n for n in things if not (truth.crowds[n] or truth.difficult[n])]
    crowds = truth.crowds[things].astype(int).tolist()
    ious = np.zeros((len(order), len(things)))
    if order and things:
        boxes: tuple[Any, Any] = results.boxes[order], truth.boxes[things]
        ious = mask.iou(*boxes, crowds)
    free = set(things)
    found: list[Found] = []
    for place, n in enumerate(order):
        overlap = dict(zip(things, ious[place].tolist(), strict=True))
        same = [g for g in things if truth.labels[g] == results.labels[n]]
        wishes = [g for g in same if overlap[g] >= 0.5 and g in free]
        wish = max(wishes, key=lambda g: (g in counts, overlap[g], g), default=None)
        if wish is not None and not truth.crowds[wish]:
            free.remove(wish)
        near = max((g for g in counts if g in same), key=lambda g: (overlap[g], g), default=None)
        other = max(
            (g for g in counts if g not in same), key=lambda g: (overlap[g], g), default=None
        )
        own_iou, other_iou = (0.0 if g is None else overlap[g] for g in (near, other))
        if 0.1 <= own_iou <= 0.5:
            kind, target = "localization", near
        elif other_iou >= 0.5:
            kind, target = "classification", other
        elif own_iou > 0.5:
            kind, target = "duplicate", None
        elif max(own_iou, other_iou) <= 0.1:
            kind, target = "background", None
        else:
            kind, target = "both", None
        hit = wish in counts
        rank = -float(results.scores[n]), image, place
        ignored = wish is not None and not hit
        found.append(
            Found(rank, int(results.labels[n]), hit, ignored, kind, None if hit else target)
        )
    return found, free & set(counts)


def score(
    found: list[tuple[tuple[float, int, int], int, bool]], objects: list[int], classes: list[int]
) -> float:
    """The mean AP over classes that have objects or detections; 1 without any."""
    values = []
    for label in sorted(set(classes)):
        hits = [hit for _, own, hit in sorted(found) if own == label]
        number = objects.count(label)
        if number or hits:
            values.append(precision(hits, number))
    return float(np.mean(values)) if values else 1.0


def precision(hits: list[bool], number: int) -> float:
    """AP of one class, detection by detection."""
    if not number:
        return 0.0
    right = np.cumsum(hits)
    curve = right / np.arange(1, len(hits) + 1)
    best = [curve[place:].max() for place in range(len(curve))]
    recalls = np.linspace(0, 1, 101)
    places = np.searchsorted(right / number, recalls, side="left")
    return float(np.mean([best[place] if place < len(best) else 0.0 for place in places]))
