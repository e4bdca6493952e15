from pathlib import Path
from typing import Any

import pytest

from mnv2_dense.formats.box_set import BoxSet
from mnv2_dense.inspection.boxes import (
    absent_classes,
    box_findings,
    class_findings,
    count_classes,
    empty_findings,
)
from mnv2_dense.structures import Category


def box_set(*annotations: dict[str, Any], ids: tuple[int, ...] = (1, 2)) -> BoxSet:
    images = [
        {"id": number, "file_name": f"{number}.jpg", "width": 40, "height": 30} for number in (1, 2)
    ]
    categories = tuple(Category(number, f"class {number}") for number in ids)
    return BoxSet(Path("boxes.json"), Path("images"), images, categories, list(annotations))


def entry(number: int, *bbox: float, **keys: object) -> dict[str, Any]:
    return {"id": number, "image_id": 1, "category_id": 1, "bbox": list(bbox), **keys}


@pytest.mark.parametrize(
    ("bbox", "kind"),
    [
        ((0, 0, 40, 30), None),
        ((-0.005, 0, 40.01, 30), None),  # COCO rounds to hundredths
        ((-1, 0, 41, 30), "clipped_box"),
        ((39.5, 0, 5, 9), "tiny_box"),
        ((40, 0, 5, 9), "outside_box"),
        ((-9, 0, 9, 9), "outside_box"),
        ((0, -9, 9, 8), "outside_box"),
        ((5, 5, 0, 9), "degenerate_box"),
        ((5, 5, 9, -1), "inverted_box"),
        ((float("nan"), 5, 9, 9), "nan_box"),
        ((5, 5, -1, float("inf")), "nan_box"),
        ((1e308, 0, 1e308, 9), "outside_box"),
    ],
)
def test_boxes_that_training_drops_or_clips(bbox: tuple[float, ...], kind: str | None) -> None:
    found = box_findings(box_set(entry(7, *bbox)))
    assert [each.problem.kind for each in found] == ([] if kind is None else [kind])
    if found:
        assert found[0].problem.title.startswith("boxes.json: boxes ")
        assert found[0].problem.place.startswith("7 (1.jpg")
        assert found[0].pictures == (Path("images/1.jpg"),)


def test_equal_boxes_of_other_pictures_or_classes_are_no_duplicates() -> None:
    box = (1, 2, 9, 9)
    others = [entry(2, *box, image_id=2), entry(3, *box, category_id=2), entry(4, *box, iscrowd=1)]
    kinds = [each.problem.kind for each in box_findings(box_set(entry(1, *box), *others))]
    assert kinds == ["crowd"]
    (found,) = box_findings(box_set(entry(1, *box), entry(2, *box)))
    assert (found.problem.kind, found.problem.place[:5]) == ("duplicate_box", "1 = 2")


def test_places_of_formats_without_ids() -> None:
    """Their annotations have no id that a user could look up, so id 0 says nothing."""
    (found,) = box_findings(box_set(entry(0, 5, 5, 0, 9, place="1.xml object 2")))
    assert found.problem.place.startswith("1.xml object 2 (1.jpg")


def test_pictures_with_crowds_alone_are_not_empty() -> None:
    found = empty_findings(box_set(entry(1, 1, 1, 9, 9, iscrowd=1)), "train")
    assert [each.problem.place for each in found] == ["2.jpg"]
    assert "1 of 2 (50.0%)" in found[0].problem.title


def test_crowds_do_not_count_as_boxes_of_a_class() -> None:
    boxes = box_set(entry(1, 1, 1, 9, 9), entry(2, 1, 1, 9, 9, iscrowd=1))
    assert count_classes(boxes) == {"class 1": 1, "class 2": 0}


def test_classes_by_split() -> None:
    counts = {
        "train": {"both": 3, "train": 1, "val": 0, "none": 0},
        "val": {"both": 1, "train": 0, "val": 2, "none": 0},
    }
    found = {(each.place, each.kind) for each in absent_classes(counts, "boxes")}
    assert found == {
        ("train", "class_not_in_val"),
        ("val", "class_only_in_val"),
        ("none", "absent_class"),
    }


def test_one_split_alone_is_not_compared() -> None:
    assert [each.kind for each in absent_classes({"train": {"a": 0, "b": 1}}, "boxes")] == [
        "absent_class"
    ]
    (found,) = absent_classes({"val": {"a": 0, "b": 1}}, "boxes")
    assert (found.kind, found.place) == ("class_not_in_val", "a")
    assert [each.problem.place for each in class_findings({"train": box_set(ids=(1,))})] == [
        "class 1"
    ]


def test_gaps_in_category_ids() -> None:
    full = entry(1, 1, 1, 9, 9), entry(2, 1, 1, 9, 9, category_id=5)
    (found,) = class_findings({"train": box_set(*full, ids=(1, 5))})
    assert (found.problem.kind, found.problem.place) == ("category_gaps", "2 ids from 1 to 5")
