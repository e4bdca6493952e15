import contextlib
import copy
import io
import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mnv2_dense.coco_evaluation.files import read_ground_truth
from mnv2_dense.coco_evaluation.records import records_of
from mnv2_dense.detection.metrics import CocoDetectionMetric
from mnv2_dense.detection.scoring import (
    SUMMARY_KEYS,
    coco_results,
    evaluate,
    summary_table,
)
from mnv2_dense.structures import Category, Detections

TOLERANCE = 1e-6


def cocoeval(
    truth: Path, results: Path, category_id: int | None = None, images: list[int] | None = None
) -> tuple[list[float], str]:
    """The twelve numbers and the printed table of COCOeval, run on files as its demo does."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()):
        annotations = COCO(str(truth))
        evaluator = COCOeval(annotations, annotations.loadRes(str(results)), "bbox")
        if category_id is not None:
            evaluator.params.catIds = [category_id]
        if images is not None:
            evaluator.params.imgIds = images
        evaluator.evaluate()
        evaluator.accumulate()
        with contextlib.redirect_stdout(printed):
            evaluator.summarize()
    return [float(number) for number in evaluator.stats], printed.getvalue()


def largest_difference(ours: dict[str, float], theirs: list[float]) -> float:
    return max(abs(ours[key] - value) for key, value in zip(SUMMARY_KEYS, theirs, strict=True))


def one_image(
    generator: np.random.Generator, truth: list[dict[str, Any]], classes: int
) -> Detections:
    """Noisy copies, duplicates, wrong classes, misses and false positives; few distinct scores."""
    copies = generator.choice([0, 1, 1, 1, 1, 2, 3], size=len(truth))
    real = np.repeat(np.array([a["bbox"] for a in truth]).reshape(-1, 4), copies, axis=0)
    labels = np.repeat(np.array([a["label"] for a in truth], dtype=np.int64), copies)
    wrong = generator.random(len(labels)) > 0.85
    labels[wrong] = generator.integers(classes, size=wrong.sum())
    false = generator.choice([0, 2, 10, 120])  # 120 passes the limit of 100
    boxes = np.concatenate([real, generator.random((false, 4)) * [400, 400, 200, 200]])
    boxes += generator.normal(0, 0.06, boxes.shape) * boxes[:, [2, 3, 2, 3]]
    boxes[:, 2:] += boxes[:, :2]
    scores = [generator.integers(4, 20, len(real)), generator.integers(0, 14, false)]
    return Detections(
        torch.from_numpy(boxes).float(),
        torch.from_numpy(np.concatenate(scores) / 20).float(),
        torch.from_numpy(np.concatenate([labels, generator.integers(classes, size=false)])),
    )


def imitate(truth: dict[str, Any], seed: int) -> tuple[list[Detections], tuple[Category, ...]]:
    """Detections of an imagined model, one entry per image of a real annotation file."""
    generator = np.random.default_rng(seed)
    categories = tuple(Category(c["id"], c["name"]) for c in truth["categories"])
    label = {category.category_id: n for n, category in enumerate(categories)}
    by_image: dict[int, list[dict[str, Any]]] = {image["id"]: [] for image in truth["images"]}
    for annotation in truth["annotations"]:
        row = {**annotation, "label": label[annotation["category_id"]]}
        by_image[annotation["image_id"]].append(row)
    found = [one_image(generator, rows, len(categories)) for rows in by_image.values()]
    return found, categories


@pytest.mark.parametrize("split", ["val2017", pytest.param("train2017", marks=pytest.mark.long)])
def test_real_annotations(shared: Path, tmp_path: Path, split: str) -> None:
    path = shared / "data" / "coco" / "annotations" / f"instances_{split}.json"
    truth = json.loads(path.read_text())
    assert any(annotation["iscrowd"] for annotation in truth["annotations"])
    found, categories = imitate(truth, seed=17)
    image_ids = [image["id"] for image in truth["images"]]

    metric = CocoDetectionMetric(partial(read_ground_truth, path), categories)
    for start in range(0, len(image_ids), 16):
        metric.update(image_ids[start : start + 16], found[start : start + 16])
    scores = metric.compute()

    results = tmp_path / "detections.json"
    results.write_text(json.dumps(records_of(coco_results(image_ids, found, categories))))
    theirs, printed = cocoeval(path, results)
    assert 0.2 < theirs[0] < 0.8
    assert largest_difference(scores.summary, theirs) <= TOLERANCE
    assert summary_table(scores) == printed.rstrip("\n")
    for category in categories[::16]:
        numbers, _ = cocoeval(path, results, category.category_id)
        by_class = scores.per_class[category.name]
        ours = [by_class[key] for key in ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR100")]
        assert ours == pytest.approx([*numbers[:6], numbers[8]], abs=TOLERANCE)

    without_crowds = copy.deepcopy(truth)
    for annotation in without_crowds["annotations"]:
        annotation["iscrowd"] = 0
    changed = evaluate(without_crowds, json.loads(results.read_text()))
    assert largest_difference(changed.summary, theirs) > 1e-4  # so the equality speaks of crowds


def test_a_part_of_the_real_images(shared: Path, tmp_path: Path) -> None:
    path = shared / "data" / "coco" / "annotations" / "instances_val2017.json"
    truth = json.loads(path.read_text())
    found, categories = imitate(truth, seed=3)
    part = [image["id"] for image in truth["images"]][::3]
    metric = CocoDetectionMetric(partial(read_ground_truth, path), categories)
    metric.update(part, found[::3])
    results = tmp_path / "detections.json"
    results.write_text(json.dumps(records_of(coco_results(part, found[::3], categories))))
    theirs, _ = cocoeval(path, results, images=part)
    assert largest_difference(metric.compute().summary, theirs) <= TOLERANCE


def test_annotation_ids_from_zero(shared: Path, tmp_path: Path) -> None:
    """COCOeval takes a match with annotation id 0 for no match; renumbering undoes that."""
    path = shared / "data" / "coco" / "annotations" / "instances_val2017.json"
    truth = json.loads(path.read_text())
    found, categories = imitate(truth, seed=5)
    image_ids = [image["id"] for image in truth["images"]]
    # A sure hit on the annotation that gets id 0: one of a rare class, so that the flaw shows.
    annotations = sorted(truth["annotations"], key=lambda a: (a["iscrowd"], a["category_id"] != 80))
    assert annotations[0]["category_id"] == 80
    results = records_of(coco_results(image_ids, found, categories))
    sure = {key: annotations[0][key] for key in ("image_id", "category_id", "bbox")}
    results.append({**sure, "score": 1.0})
    detections = tmp_path / "detections.json"
    detections.write_text(json.dumps(results))

    numbers: dict[int, list[float]] = {}
    for first in (0, 1):
        for number, annotation in enumerate(annotations, start=first):
            annotation["id"] = number
        truth["annotations"] = annotations
        numbered = tmp_path / f"from_{first}.json"
        numbered.write_text(json.dumps(truth))
        numbers[first], _ = cocoeval(numbered, detections)
    from_zero = evaluate(json.loads((tmp_path / "from_0.json").read_text()), results).summary
    assert largest_difference(from_zero, numbers[1]) <= TOLERANCE
    assert largest_difference(from_zero, numbers[0]) > 1e-4
    assert numbers[0][0] < numbers[1][0]


def test_annotation_id_zero_by_hand(tmp_path: Path) -> None:
    box = [10, 10, 50, 50]
    annotation = {"id": 0, "image_id": 1, "category_id": 1, "bbox": box, "area": 2500, "iscrowd": 0}
    truth = {
        "images": [{"id": 1}],
        "categories": [{"id": 1, "name": "cat"}],
        "annotations": [annotation],
    }
    results = [{"image_id": 1, "category_id": 1, "bbox": box, "score": 0.9}]
    paths = tmp_path / "instances.json", tmp_path / "detections.json"
    paths[0].write_text(json.dumps(truth))
    paths[1].write_text(json.dumps(results))
    raw, _ = cocoeval(*paths)
    assert raw[0] == 0  # a perfect detection, scored as a false positive
    assert evaluate(truth, results).summary["mAP"] == pytest.approx(1)


CATEGORY_IDS = (1, 3, 90)
BOXES = st.tuples(*[st.integers(0, 60)] * 2, *[st.integers(1, 120)] * 2).map(list)


@st.composite
def annotated_scenes(draw: st.DrawFn) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    image_ids = draw(st.lists(st.integers(0, 1000), min_size=1, max_size=4, unique=True))
    annotation_ids = draw(st.lists(st.integers(1, 10**6), max_size=8, unique=True))
    places = st.fixed_dictionaries(
        {
            "image_id": st.sampled_from(image_ids),
            "category_id": st.sampled_from(CATEGORY_IDS),
        }
    )
    annotations = []
    for annotation_id in annotation_ids:
        place = draw(places)
        box = draw(BOXES)
        area = box[2] * box[3] * draw(st.sampled_from([1.0, 0.5]))
        crowd = draw(st.sampled_from([0, 0, 1]))
        annotations.append(
            {**place, "bbox": box, "id": annotation_id, "area": area, "iscrowd": crowd}
        )
    scores = st.sampled_from([0.1, 0.5, 0.5, 0.9])
    results = [
        {**draw(places), "bbox": draw(BOXES), "score": draw(scores)}
        for _ in range(draw(st.integers(0, 10)))
    ]
    for annotation in annotations:
        if draw(st.booleans()):
            same = {key: annotation[key] for key in ("image_id", "category_id", "bbox")}
            results.append({**same, "score": draw(scores)})
    truth = {
        "images": [{"id": image_id} for image_id in image_ids],
        "categories": [{"id": c, "name": f"class {c}"} for c in CATEGORY_IDS],
        "annotations": annotations,
    }
    return truth, results


@settings(max_examples=150, deadline=None)
@given(scene=annotated_scenes())
def test_random_scenes(scene: tuple[dict[str, Any], list[dict[str, Any]]]) -> None:
    truth, results = scene
    # loadRes fails without results; a detection in a class of its own changes nothing then.
    stranger = {"image_id": truth["images"][0]["id"], "category_id": 4, "bbox": [0, 0, 1, 1]}
    their_truth: Any = copy.deepcopy(truth)
    their_results: Any = copy.deepcopy(results) or [{**stranger, "score": 0.0}]
    with contextlib.redirect_stdout(io.StringIO()):
        theirs = COCO()
        theirs.dataset = their_truth
        theirs.createIndex()
        evaluator = COCOeval(theirs, theirs.loadRes(their_results), "bbox")
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    ours = evaluate(truth, results)
    assert largest_difference(ours.summary, list(evaluator.stats)) <= TOLERANCE
    assert ours.images == len(truth["images"])
