from pathlib import Path

import pytest

from mnv2_dense.errors import UserError
from mnv2_dense.formats.box_set import place_of
from mnv2_dense.structures import Category
from tests.formats.box_sets import annotation, box_set


def test_content_is_that_of_a_coco_file(tmp_path: Path) -> None:
    entry = annotation(3, 2, 9, 1, 2, 3, 4)
    own = annotation(4, 2, 9, 1, 2, 3, 4, area=5)
    content = box_set(tmp_path, {**entry, "place": "b.xml object 1"}, own).content()
    assert content["annotations"] == [{**entry, "area": 12}, own]
    assert content["categories"] == [{"id": 5, "name": "cat"}, {"id": 9, "name": "dog"}]
    assert [image["id"] for image in content["images"]] == [1, 2]


def test_chosen_images_keep_their_annotations_and_ids(tmp_path: Path) -> None:
    boxes = box_set(tmp_path, annotation(3, 2, 9, 1, 2, 3, 4), annotation(4, 1, 5, 1, 2, 3, 4))
    chosen = boxes.choose_images({1})
    assert [image["file_name"] for image in chosen.images] == ["b.png"]
    assert [entry["id"] for entry in chosen.annotations] == [3]
    assert chosen.categories == boxes.categories
    assert len(boxes.images) == len(boxes.annotations) == 2


def test_chosen_classes_keep_all_images_and_the_order_of_the_set(tmp_path: Path) -> None:
    boxes = box_set(tmp_path, annotation(3, 2, 9, 1, 2, 3, 4), annotation(4, 1, 5, 1, 2, 3, 4))
    chosen = boxes.choose_classes(["dog"])
    assert chosen.categories == (Category(9, "dog"),)
    assert [entry["id"] for entry in chosen.annotations] == [3]
    assert len(chosen.images) == 2
    assert boxes.choose_classes(["dog", "cat"]).categories == boxes.categories


def test_a_class_that_the_set_lacks(tmp_path: Path) -> None:
    boxes = box_set(tmp_path)
    with pytest.raises(UserError, match=r"no class named cow \(data\.classes\); it has cat, dog"):
        boxes.choose_classes(["dog", "cow"])


def test_place_of() -> None:
    assert place_of(annotation(3, 1, 5)) == "3"
    assert place_of(annotation(3, 1, 5, place="a.xml object 1")) == "a.xml object 1"
