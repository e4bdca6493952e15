"""Annotation files and boxes that are wrong, odd or missing, in training and evaluation."""

import io
import math
import shutil
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from tests.commands.test_evaluate import SUMMARY
from tests.commands.tiny import SIZE, STEPS, logged, read_json, read_log
from tests.spoiling import Annotations, Workplace, assert_refused


@pytest.fixture
def place(shapes_set: Path, trained_run: Path, tmp_path: Path) -> Workplace:
    shutil.copytree(shapes_set, tmp_path / "shapes")
    return Workplace(tmp_path, tmp_path / "shapes", trained_run)


def test_missing_data_folder(place: Workplace) -> None:
    outcome = place.train("data.root=nowhere", "data.generate=null")
    assert_refused(
        outcome,
        "nowhere/annotations/instances_train2017.json",
        "nowhere/train2017",
        "To get COCO, run mnv2-dense download_data coco",
    )
    assert not place.output.exists()


def test_missing_data_folder_in_a_dry_run(place: Workplace) -> None:
    outcome = place.train("data.root=nowhere", "data.generate=null", "--dry-run")
    assert_refused(outcome, "nowhere/train2017", "To get COCO")


def _first(content: Annotations, key: str) -> dict[str, Any]:
    return content[key][0]


SPOILT: list[tuple[Callable[[Annotations], object], list[str]]] = [
    (lambda c: c.update(annotations=[]), ["empty annotation file", "'annotations'"]),
    (lambda c: c.update(images=[]), ["empty annotation file", "'images'"]),
    (lambda c: c.pop("categories"), ["not a COCO instances file", "'categories'"]),
    (
        lambda c: _first(c, "annotations").update(id=77, image_id=987),
        ["image_id is missing", "77 (image_id 987)"],
    ),
    (
        lambda c: _first(c, "annotations").update(id=77, category_id=654),
        ["category_id is missing", "77 (category_id 654)"],
    ),
    (lambda c: _first(c, "annotations").pop("category_id"), ["category_id None"]),
    (lambda c: c["images"].append(_first(c, "images")), ["duplicate ids in 'images': 1"]),
    (
        lambda c: c["annotations"].append(_first(c, "annotations")),
        ["duplicate ids in 'annotations'"],
    ),
    (
        lambda c: c["categories"].append(_first(c, "categories")),
        ["duplicate ids in 'categories'"],
    ),
    (lambda c: _first(c, "annotations").update(bbox="1 2 3 4"), ["bbox is not four numbers"]),
    (lambda c: _first(c, "annotations").update(id=77, area=None), ["area is no number", "77"]),
    (lambda c: _first(c, "annotations").update(id=77, area="12"), ["area is no number", "77"]),
    (lambda c: _first(c, "annotations").update(id=77, iscrowd="0"), ["iscrowd is neither", "77"]),
    (lambda c: _first(c, "annotations").update(id=77, iscrowd=2), ["iscrowd is neither", "77"]),
    (lambda c: _first(c, "images").update(file_name="gone.jpg"), ["gone.jpg", "missing"]),
    (lambda c: _first(c, "images").update(file_name="../x.jpg"), ["leaves the image folder"]),
    (lambda c: _first(c, "categories").update(name="dog"), ["different classes", "dog"]),
    (lambda c: c["categories"].append({"id": 99, "name": "dog"}), ["different classes"]),
]


@pytest.mark.parametrize("tool", ["train", "evaluate"])
@pytest.mark.parametrize(
    ("change", "words"),
    SPOILT,
    ids=[
        *("no annotations", "no images", "no categories", "annotation of a missing image"),
        *("annotation of a missing category", "annotation without category", "image id twice"),
        *("annotation id twice", "category id twice", "bad box", "no area"),
        *("area as text", "iscrowd as text", "iscrowd of 2", "missing picture"),
        *("picture outside", "train and val differ", "train has more classes"),
    ],
)
def test_annotations(
    place: Workplace, change: Callable[[Annotations], object], words: Sequence[str], tool: str
) -> None:
    place.edit(change, "train" if tool == "train" else "val")
    assert_refused(place.train() if tool == "train" else place.evaluate(), *words)
    assert not place.output.exists()
    assert not (place.folder / "evaluation").exists()


@pytest.mark.parametrize("content", ["", "{}", "{", "[1, 2]", '{"images": [1'])
def test_annotation_files_that_are_no_coco(place: Workplace, content: str) -> None:
    place.annotations("val").write_text(content)
    assert_refused(place.train(), place.annotations("val"))
    assert_refused(place.evaluate(), place.annotations("val"))


# Boxes


BOXES: dict[str, list[float]] = {
    "zero area": [5, 5, 0, 9],
    "inverted": [20, 20, -5, 5],
    "outside": [SIZE + 6, SIZE + 6, 10, 10],
    "NaN": [math.nan, 1, 5, 5],
    "infinite": [1, 1, math.inf, 5],
    "sticks out": [-5, 3, 20, 20],
}
CLIPPED = [0, 3, 15, 20]


def spoil_boxes(content: Annotations) -> None:
    for entry, box in zip(content["annotations"], BOXES.values(), strict=False):
        entry["bbox"] = box


def remove_non_finite(content: Annotations) -> None:
    """pycocotools would take such a box for one that any detection finds."""
    boxes = content["annotations"]
    content["annotations"] = [each for each in boxes if all(map(math.isfinite, each["bbox"]))]


def remove_degenerate(content: Annotations) -> None:
    boxes = content["annotations"]
    content["annotations"] = [each for each in boxes if min(each["bbox"][2:]) > 0]


def repair_boxes(content: Annotations) -> None:
    """What the rule leaves of the spoilt boxes."""
    content["annotations"] = content["annotations"][len(BOXES) - 1 :]
    content["annotations"][0]["bbox"] = CLIPPED


def test_bad_boxes_are_dropped_or_clipped_counted_and_listed(place: Workplace) -> None:
    place.edit(spoil_boxes)
    ids = [entry["id"] for entry in place.content()["annotations"]]
    outcome = place.train("--dry-run").require_success()
    dropped = ", ".join(map(str, ids[: len(BOXES) - 1]))
    assert (
        f"{place.annotations()}: boxes clipped 1 to the image (annotation ids "
        f"{ids[len(BOXES) - 1]}) and dropped 5 under 1 pixel on a side or not finite "
        f"(annotation ids {dropped})"
    ) in outcome.out
    losses = place.losses("spoilt")
    place.edit(repair_boxes)
    assert place.losses("repaired") == losses


def test_bad_boxes_are_measured_by_pycocotools_rule(place: Workplace) -> None:
    """It takes no finite box out of the truth: one that cannot be found is missed."""
    place.edit(spoil_boxes, "val")
    outcome = place.evaluate().require_success()
    assert "clipped 1 to the image" in outcome.out
    assert "dropped 5 under 1 pixel on a side or not finite" in outcome.out
    measured = metrics_of(place)
    place.edit(remove_non_finite, "val")
    assert measured == pytest.approx(pycocotools_metrics(place), abs=1e-6)
    place.edit(remove_degenerate, "val")
    place.evaluate().require_success()
    assert metrics_of(place) != measured


def metrics_of(place: Workplace) -> list[float]:
    """The twelve numbers of the last evaluation."""
    metrics = read_json(place.folder / "evaluation" / "metrics.json")
    return [metrics[key] for key in SUMMARY]


def pycocotools_metrics(place: Workplace) -> list[float]:
    """The same by pycocotools' own evaluation, of the user's file."""
    with redirect_stdout(io.StringIO()):
        truth = COCO(place.annotations("val"))
        found = truth.loadRes(str(place.folder / "evaluation" / "detections.json"))
        evaluator = COCOeval(truth, found, "bbox")
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return list(evaluator.stats)


def mark_crowds(content: Annotations) -> None:
    """Every second box, each over its whole picture: what is found in it is not counted."""
    for entry in content["annotations"][::2]:
        entry.update(iscrowd=1, bbox=[0, 0, SIZE, SIZE])


def remove_crowds(content: Annotations) -> None:
    content["annotations"] = [each for each in content["annotations"] if not each["iscrowd"]]


def test_crowds_are_left_out_of_the_training(place: Workplace) -> None:
    place.edit(mark_crowds)
    losses = place.losses("crowds")
    place.edit(remove_crowds)
    assert place.losses("without") == losses


def test_crowds_follow_pycocotools_rule_in_evaluation(place: Workplace) -> None:
    measured = []
    for change in (list, mark_crowds, remove_crowds):  # list changes nothing
        place.edit(change, "val")
        place.evaluate().require_success()
        measured.append(metrics_of(place))
        assert measured[-1] == pytest.approx(pycocotools_metrics(place), abs=1e-6)
    plain, crowds, without = measured
    assert plain != crowds
    assert crowds != without


def keep_one_image(content: Annotations) -> None:
    """Boxes of the last image alone; the others are negatives."""
    last = content["annotations"][-1]["image_id"]
    content["annotations"] = [each for each in content["annotations"] if each["image_id"] == last]


def test_negatives_train_and_are_measured(place: Workplace) -> None:
    place.edit(keep_one_image)
    place.edit(keep_one_image, "val")
    losses = place.losses("negatives")
    assert len(losses) == STEPS
    assert all(math.isfinite(float(loss)) for loss in losses)
    place.evaluate().require_success()
    assert metrics_of(place) == pytest.approx(pycocotools_metrics(place), abs=1e-6)


def spread_ids(content: Annotations) -> None:
    """Gaps of one to the next, out of order in the file."""
    for entry in content["categories"]:
        entry["id"] = 7 * entry["id"] + 3
    for entry in content["annotations"]:
        entry["category_id"] = 7 * entry["category_id"] + 3
    content["categories"].reverse()


def test_category_ids_with_gaps_are_remapped(place: Workplace) -> None:
    place.evaluate().require_success()
    measured = metrics_of(place)
    for split in ("train", "val"):
        place.edit(spread_ids, split)
    assert place.losses("after") == logged(read_log(place.run), "train/loss")
    place.evaluate().require_success()
    assert metrics_of(place) == measured == pytest.approx(pycocotools_metrics(place), abs=1e-6)
    found = {each["category_id"] for each in read_json(place.folder / "evaluation/detections.json")}
    assert found
    assert all(number % 7 == 3 for number in found)


def count_from_zero(content: Annotations) -> None:
    for number, entry in enumerate(content["annotations"]):
        entry["id"] = number


def count_from_one(content: Annotations) -> None:
    for number, entry in enumerate(content["annotations"], start=1):
        entry["id"] = number


def test_annotation_id_0_is_an_id_as_any(place: Workplace) -> None:
    """pycocotools takes a box with id 0 for one that nothing matched."""
    measured = []
    for change in (count_from_one, count_from_zero):
        place.edit(change, "val")
        place.evaluate().require_success()
        measured.append(metrics_of(place))
    assert measured[0] == measured[1]
    place.edit(count_from_zero)
    assert place.losses("zero") == logged(read_log(place.run), "train/loss")


def test_number_of_classes(place: Workplace) -> None:
    outcome = place.train("data.num_classes=80")
    assert_refused(outcome, "data.num_classes=80", "10 categories", "data.num_classes=null")


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("split", ["train", "val"])
def test_corrupt_image_is_named(place: Workplace, split: str, workers: int) -> None:
    picture = sorted((place.data / f"{split}2017").iterdir())[0]
    picture.write_bytes(picture.read_bytes()[:300])
    outcome = place.train(f"data.num_workers={workers}")
    assert_refused(outcome, f"{picture}: the image cannot be read")


def test_image_of_another_size_is_named(place: Workplace) -> None:
    place.edit(lambda content: _first(content, "images").update(width=65))
    assert_refused(place.train(), "000000000001.jpg", "64 x 64 pixels", "65 x 64")


@pytest.mark.parametrize("extra", [[], ["--dry-run"]])
def test_one_image_per_step(place: Workplace, extra: Sequence[str]) -> None:
    outcome = place.train("data.batch_size=1", *extra)
    assert_refused(outcome, "data.batch_size=1", "two images or more")
    assert not place.output.exists()
