import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pycocotools.coco import COCO

from mnv2_dense.formats.coco import read_coco
from mnv2_dense.formats.write_coco import write_coco
from tests.formats.box_sets import annotation, box_set, fill_pictures


def test_a_set_written_and_read_again(tmp_path: Path) -> None:
    boxes = box_set(tmp_path / "pictures", annotation(7, 1, 5, 1.5, 2, 3, 4, segmentation=[[1, 2]]))
    written = write_coco({"train": boxes}, tmp_path)
    fill_pictures(written)
    assert written.lost == []
    assert written.data == {
        "train_images": "train",
        "train_annotations": "annotations/instances_train.json",
    }
    again = read_coco(tmp_path / "annotations" / "instances_train.json", tmp_path / "train")
    assert again.problems == []
    assert (again.images, again.categories) == (boxes.images, boxes.categories)
    assert list(again.annotations) == [{**boxes.annotations[0], "area": 12.0}]


def test_fields_of_other_formats_stay_and_pycocotools_reads_them(tmp_path: Path) -> None:
    entry = annotation(1, 1, 5, 0, 0, 4, 4, difficult=1, truncated=1, place="a.xml object 1")
    write_coco({"val": box_set(tmp_path / "pictures", entry)}, tmp_path)
    loaded = COCO(str(tmp_path / "annotations" / "instances_val.json"))
    found: dict[str, Any] = {**loaded.loadAnns(loaded.getAnnIds())[0]}
    assert (found["difficult"], found["truncated"], found["area"]) == (1, 1, 16.0)
    assert "place" not in found


def test_classes_from_0_are_numbered_from_1(tmp_path: Path) -> None:
    boxes = box_set(tmp_path / "p", annotation(1, 1, 9, 0, 0, 4, 4), classes={0: "cat", 9: "dog"})
    write_coco({"train": boxes}, tmp_path)
    content = json.loads((tmp_path / "annotations" / "instances_train.json").read_text())
    assert content["categories"] == [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
    assert content["annotations"][0]["category_id"] == 2
    assert boxes.annotations[0]["category_id"] == 9


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_boxes_that_are_not_finite_are_left_out_and_said(tmp_path: Path, value: float) -> None:
    boxes = box_set(tmp_path / "p", annotation(1, 1, 5, value, 0, 4, 4))
    written = write_coco({"train": boxes}, tmp_path)
    assert written.lost == ["1 boxes that are not finite: left out"]
    content = (tmp_path / "annotations" / "instances_train.json").read_text()
    assert json.loads(content)["annotations"] == []


def test_what_the_file_says_besides_stays(tmp_path: Path) -> None:
    boxes = replace(
        box_set(tmp_path / "p", annotation(1, 1, 5, 0, 0, 4, 4, score=0.5)),
        extras={"info": {"year": 2026}, "licenses": [{"id": 1}]},
        category_extras={5: {"supercategory": "animal"}},
    )
    written = write_coco({"train": boxes}, tmp_path)
    fill_pictures(written)
    again = read_coco(tmp_path / "annotations" / "instances_train.json", tmp_path / "train")
    assert (again.extras, again.annotations[0]["score"]) == (boxes.extras, 0.5)
    assert again.category_extras[5] == {"supercategory": "animal"}
    assert written.lost == []


def test_difficult_boxes_and_new_ids_are_named(tmp_path: Path) -> None:
    entry = annotation(1, 1, 9, 0, 0, 4, 4, difficult=1)
    boxes = box_set(tmp_path / "p", entry, classes={0: "cat", 9: "dog"})
    lost = "\n".join(write_coco({"train": boxes}, tmp_path).lost)
    assert "1 difficult boxes" in lost
    assert "ids of categories: numbered from 1" in lost


def test_names_that_look_like_paths(tmp_path: Path) -> None:
    boxes = box_set(tmp_path / "p", annotation(1, 1, 5, 0, 0, 4, 4), names={1: "a:1.png"})
    written = write_coco({"train": boxes}, tmp_path)
    fill_pictures(written)
    again = read_coco(tmp_path / "annotations" / "instances_train.json", tmp_path / "train")
    assert [image["file_name"] for image in again.images] == ["a_1.png"]
    assert "'a:1.png' is 'a_1.png'" in written.lost[0]
