import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from mnv2_dense.formats.voc import read_voc
from mnv2_dense.formats.write_voc import write_voc
from tests.formats.box_sets import CLASSES, annotation, box_set, fill_pictures


def read_again(root: Path, split: str = "train") -> list[list[float]]:
    listed = root / "ImageSets" / "Main" / f"{split}.txt"
    names = list(CLASSES.values())
    boxes = read_voc(root / "Annotations", root / "JPEGImages", listed, names)
    assert boxes.problems == []
    return [entry["bbox"] for entry in boxes.annotations]


def test_pixels_are_counted_from_1(tmp_path: Path) -> None:
    boxes = box_set(tmp_path / "p", annotation(1, 1, 9, 0, 2, 10, 5.25))
    fill_pictures(write_voc({"train": boxes}, tmp_path))
    root = ElementTree.parse(tmp_path / "Annotations" / "a.xml").getroot()
    corners = {each.tag: each.text for each in root.findall("object/bndbox/*")}
    assert corners == {"xmin": "1", "ymin": "3", "xmax": "10", "ymax": "7.25"}
    assert [root.findtext("size/width"), root.findtext("size/height")] == ["40", "30"]
    assert [root.findtext("filename"), root.findtext("object/name")] == ["a.png", "dog"]
    assert (tmp_path / "ImageSets" / "Main" / "train.txt").read_text() == "a\nb\n"
    assert read_again(tmp_path) == [[0, 2, 10, 5.25]]


def test_boxes_with_fractions_come_back(tmp_path: Path) -> None:
    box = [473.07, 395.93, 38.65, 28.67]
    boxes = box_set(tmp_path / "p", annotation(1, 1, 5, *box))
    fill_pictures(write_voc({"train": boxes}, tmp_path))
    assert read_again(tmp_path) == [pytest.approx(box, abs=1e-9)]


def test_what_voc_cannot_hold_is_said(tmp_path: Path) -> None:
    crowd = annotation(2, 1, 5, 0, 0, 4, 4, iscrowd=1, area=3.5, segmentation={"counts": []})
    boxes = box_set(tmp_path / "p", annotation(1, 1, 5, 0, 0, 4, 4, segmentation=[[0.0]]), crowd)
    lost = "\n".join(write_voc({"train": boxes}, tmp_path).lost)
    for text in ("ids of images", "2 outlines", "1 areas", "1 crowd boxes", "without a box: dog"):
        assert text in lost


def test_crowds_come_back_and_are_difficult_to_others(tmp_path: Path) -> None:
    boxes = box_set(tmp_path / "p", annotation(1, 1, 5, 0, 0, 4, 4, iscrowd=1))
    fill_pictures(write_voc({"train": boxes}, tmp_path))
    root = ElementTree.parse(tmp_path / "Annotations" / "a.xml").getroot()
    assert root.findtext("object/difficult") == "1"
    again = read_voc(tmp_path / "Annotations", tmp_path / "JPEGImages", None, ["cat", "dog"])
    assert [entry["iscrowd"] for entry in again.annotations] == [1]


def test_marks_of_voc_stay(tmp_path: Path) -> None:
    marks = {"difficult": 1, "truncated": 1, "pose": "Left"}
    boxes = box_set(tmp_path / "p", annotation(1, 1, 5, 0, 0, 4, 4, **marks))
    fill_pictures(write_voc({"train": boxes}, tmp_path))
    again = read_voc(tmp_path / "Annotations", tmp_path / "JPEGImages", None, ["cat", "dog"])
    assert {key: again.annotations[0][key] for key in marks} == marks


def test_pictures_of_one_name_in_both_splits(tmp_path: Path) -> None:
    train = box_set(tmp_path / "t", annotation(1, 1, 5, 0, 0, 4, 4))
    val = box_set(tmp_path / "v", annotation(1, 1, 5, 0, 0, 8, 8))
    fill_pictures(write_voc({"train": train, "val": val}, tmp_path))
    assert read_again(tmp_path, "train") == [[0, 0, 4, 4]]
    assert read_again(tmp_path, "val") == [[0, 0, 8, 8]]


def test_names_that_xml_must_escape(tmp_path: Path) -> None:
    boxes = box_set(
        tmp_path / "p",
        annotation(1, 1, 1, 0, 0, 4, 4),
        names={1: "a & <b>.png"},
        classes={1: "<&>"},
    )
    fill_pictures(write_voc({"train": boxes}, tmp_path))
    again = read_voc(tmp_path / "Annotations", tmp_path / "JPEGImages", None, ["<&>"])
    assert [image["file_name"] for image in again.images] == ["a & <b>.png"]
    assert len(again.annotations) == 1
