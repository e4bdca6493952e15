import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import pytest

from mnv2_dense.errors import UserError
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


ODD_NAMES = {
    1: "p.jpg.png",
    2: " around .png",
    3: ".hidden.png",
    4: "two\nlines.png",
    5: "sep\u2028arated.png",
    6: "c:d\\e.png",
    7: "photo 1.png",
}


def test_names_that_no_list_holds(tmp_path: Path) -> None:
    entries = [annotation(n, n, 5, n, 0, 4, 4) for n in ODD_NAMES]
    boxes = box_set(tmp_path / "p", *entries, names=ODD_NAMES)
    written = write_voc({"train": boxes}, tmp_path)
    fill_pictures(written)
    assert read_again(tmp_path) == [entry["bbox"] for entry in entries]
    keys = (tmp_path / "ImageSets" / "Main" / "train.txt").read_text().splitlines()
    assert keys == ["p.jpg", "around", "_hidden", "two_lines", "sep_arated", "c_d_e", "photo 1"]
    (renamed,) = (line for line in written.lost if line.startswith("names of"))
    assert "names of 5 pictures" in renamed
    assert "'.hidden.png' is '_hidden.png'" in renamed


@pytest.mark.parametrize("name", ["photo 1.png", "photo 0.png"])
def test_a_list_that_looks_like_one_of_a_class(tmp_path: Path, name: str) -> None:
    boxes = box_set(tmp_path / "p", annotation(1, 1, 5, 0, 0, 4, 4), names={1: name})
    fill_pictures(write_voc({"val": boxes}, tmp_path))
    assert read_again(tmp_path, "val") == [[0, 0, 4, 4]]


def test_a_picture_without_an_extension_gets_its_formats(tmp_path: Path) -> None:
    boxes = box_set(tmp_path / "p", annotation(1, 1, 5, 0, 0, 4, 4), names={1: "a.png"})
    (tmp_path / "p" / "a.png").rename(tmp_path / "p" / "a")
    boxes.images[0]["file_name"] = "a"
    fill_pictures(write_voc({"train": boxes}, tmp_path))
    assert (tmp_path / "JPEGImages" / "a.png").is_file()
    assert read_again(tmp_path) == [[0, 0, 4, 4]]


@pytest.mark.parametrize("name", ["", " ", "cat\x07", "two\nlines", "\ud800", " cat"])
def test_class_names_that_xml_cannot_hold(tmp_path: Path, name: str) -> None:
    boxes = box_set(tmp_path / "p", classes={5: name})
    with pytest.raises(UserError, match="class names that this format cannot hold"):
        write_voc({"train": boxes}, tmp_path)
    assert not (tmp_path / "Annotations").exists()


def test_merged_categories_and_fields_are_named(tmp_path: Path) -> None:
    entry = annotation(1, 1, 5, 0, 0, 4, 4, attributes={"wet": True})
    boxes = replace(
        box_set(tmp_path / "p", entry, classes={5: "cat", 9: "cat"}),
        extras={"info": {"year": 2026}},
        category_extras={5: {"supercategory": "animal"}},
    )
    boxes.images[0]["license"] = 3
    lost = "\n".join(write_voc({"train": boxes}, tmp_path).lost)
    assert "categories of one name, now one class: cat" in lost
    for text in ("annotations that are not kept: attributes", "images that are not kept: license"):
        assert text in lost
    assert "the file that are not kept: info" in lost
    assert "categories that are not kept: supercategory" in lost
