import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mnv2_dense.detection.targets import build_index
from mnv2_dense.errors import UserError
from mnv2_dense.formats import voc_xml as voc_xml_module
from mnv2_dense.formats.box_set import BoxSet
from mnv2_dense.formats.coco import read_coco
from mnv2_dense.formats.problems import Level
from mnv2_dense.formats.voc import class_names, read_voc
from mnv2_dense.formats.voc_xml import MAX_BYTES
from mnv2_dense.structures import Category
from tests.formats.three_formats import NAMES, draw, voc_object, voc_xml, write_coco, write_voc

CAT = ("cat", 10, 5, 20, 10)


def read(root: Path, listed: str | None = None) -> BoxSet:
    file = None if listed is None else root / "list.txt"
    if file is not None:
        file.write_text(listed or "")
    return read_voc(root / "Annotations", root / "JPEGImages", file, NAMES)


def kinds(boxes: BoxSet, level: Level = Level.ERROR) -> list[tuple[str, str]]:
    return [(each.kind, each.place) for each in boxes.problems if each.level == level]


def put(root: Path, key: str, text: str | bytes) -> None:
    data = text.encode() if isinstance(text, str) else text
    (root / "Annotations" / f"{key}.xml").write_bytes(data)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_voc(tmp_path)
    return tmp_path


def test_same_index_as_of_coco(root: Path, tmp_path: Path) -> None:
    (tmp_path / "coco").mkdir()
    write_coco(tmp_path / "coco")
    expected = build_index(read_coco(tmp_path / "coco/annotations.json", tmp_path / "coco/images"))
    index = build_index(read(root))
    assert index.boxes.tolist() == expected.boxes.tolist()
    assert index.labels.tolist() == expected.labels.tolist()
    assert index.box_offsets.tolist() == expected.box_offsets.tolist() == [0, 2, 2, 3]
    assert [index.size(i) for i in range(3)] == [expected.size(i) for i in range(3)]
    assert all(index.path(i).is_file() for i in range(3))
    assert index.box_report.message() is None


def test_records_by_hand(root: Path) -> None:
    marks = "<difficult>1</difficult><truncated>1</truncated><pose>Left</pose>"
    part = "<part><name>head</name><bndbox><xmin>1</xmin></bndbox></part>"
    put(root, "b", voc_xml("b", part, voc_object(CAT, part, marks, "<occluded>0</occluded>")))
    boxes = read(root)
    assert boxes.categories == (Category(1, "cat"), Category(2, "dog"))
    assert boxes.images[1] == {"id": 2, "file_name": "b.png", "width": 40, "height": 20}
    assert boxes.annotations[2] == {
        "id": 3,
        "image_id": 2,
        "place": "b.xml object 1",
        "category_id": 1,
        "bbox": [10, 5, 20, 10],
        "iscrowd": 0,
        "difficult": 1,
        "truncated": 1,
        "occluded": 0,
        "pose": "Left",
    }
    assert boxes.problems == []
    assert boxes.places == "objects"


def test_a_list_chooses_and_orders(root: Path) -> None:
    boxes = read(root, "c.png\n\n ./a.xml \n")
    assert [(each["id"], each["file_name"]) for each in boxes.images] == [
        (1, "c.png"),
        (2, "a.png"),
    ]
    assert [entry["image_id"] for entry in boxes.annotations] == [1, 2, 2]


def test_mistakes_in_a_list(root: Path) -> None:
    boxes = read(root, "a\na\ngone\n../b\n")
    assert [each["file_name"] for each in boxes.images] == ["a.png"]
    assert kinds(boxes) == [("outside_folder", "../b"), ("missing_annotation", "gone.xml")]
    assert kinds(boxes, Level.PROBLEM) == [("listed_twice", "a")]
    with pytest.raises(UserError, match="empty"):
        read(root, "\n")
    with pytest.raises(UserError, match="a list of one class"):
        read(root, "a  1\nb -1\nc  0\n")


def test_names_with_spaces_in_a_list(root: Path) -> None:
    draw(root / "JPEGImages", ["my photo 1"])
    put(root, "my photo 1", voc_xml("x"))
    assert read(root, "my photo 1\na").images[0]["file_name"] == "my photo 1.png"


def test_folders_at_every_depth_and_hidden_files(root: Path) -> None:
    draw(root / "JPEGImages/x", ["d"], ".JPG")
    (root / "Annotations/x").mkdir()
    put(root, "x/d", voc_xml("d", voc_object(CAT)))
    put(root, "._a", b"\0\1")
    boxes = read(root)
    assert boxes.images[-1]["file_name"] == "x/d.JPG"
    assert boxes.annotations[-1]["place"] == "x/d.xml object 1"
    assert kinds(boxes) == []
    assert kinds(boxes, Level.NOTE) == [("other_filename", "x/d.xml ('d.png')")]


def test_pictures_without_xml_and_xml_without_picture(root: Path) -> None:
    (root / "JPEGImages/a.png").rename(root / "JPEGImages/z.png")
    boxes = read(root)
    assert [each["file_name"] for each in boxes.images] == ["b.png", "c.png"]
    assert kinds(boxes) == [("missing_picture", "a")]
    assert kinds(boxes, Level.PROBLEM) == [("unannotated_picture", "z.png")]
    with pytest.raises(UserError, match=r"pictures of XML files in .* are missing: a\. To get"):
        build_index(boxes)


def test_two_pictures_of_one_name(root: Path) -> None:
    draw(root / "JPEGImages", ["a"], ".jpg")
    assert read(root).images[0]["file_name"] == "a.png"
    put(root, "a", voc_xml("other"))
    assert kinds(read(root)) == [("ambiguous_picture", "a.jpg and a.png")]


SIZES = [
    *("", "<size/>", "<size><width>0</width><height>0</height></size>"),
    "<size><width>4_0</width><height>20</height></size>",
]


@pytest.mark.parametrize("size", SIZES)
def test_size_is_taken_from_the_picture(root: Path, size: str) -> None:
    put(root, "b", f"<annotation>{size}</annotation>")
    boxes = read(root)
    assert (boxes.images[1]["width"], boxes.images[1]["height"]) == (40, 20)
    assert kinds(boxes, Level.NOTE) == [("no_size", "b.xml")]
    (root / "JPEGImages/b.png").write_bytes(b"no picture")
    boxes = read(root)
    assert [each["file_name"] for each in boxes.images] == ["a.png", "c.png"]
    assert [entry["image_id"] for entry in boxes.annotations] == [1, 1, 2]
    assert [kind for kind, _ in kinds(boxes)] == ["unreadable_picture"]
    assert "b.png" in kinds(boxes)[0][1]


def test_odd_boxes_are_left_to_the_box_rule(root: Path) -> None:
    odd = [("cat", -1, -1, 10, 10), ("cat", 5, 5, -3, 4), ("dog", 5, 5, 0, 4)]
    nan = voc_object(CAT).replace("<xmax>30", "<xmax>nan")
    put(root, "b", voc_xml("b", *map(voc_object, odd), nan))
    boxes = read(root)
    assert boxes.problems == []
    report = build_index(boxes).box_report
    assert report.first_clipped == ("b.xml object 1",)
    assert report.first_dropped == ("b.xml object 2", "b.xml object 3", "b.xml object 4")


def test_unknown_classes_are_left_out_and_named(root: Path) -> None:
    put(root, "b", voc_xml("b", voc_object(("cow", 1, 1, 5, 5)), voc_object(CAT)))
    boxes = read(root)
    assert kinds(boxes, Level.PROBLEM) == [("unknown_class", "b.xml object 1 (cow)")]
    assert len(boxes.annotations) == 4
    assert class_names([root / "Annotations"]) == ("cat", "cow", "dog")


OBJECT_MISTAKES = [
    ("<name>cat</name>", "", "no <name>"),
    ("bndbox", "robndbox", "no <bndbox>"),
    ("<xmin>11</xmin>", "", "no <xmin>"),
    (">11<", ">left<", "<xmin> is 'left', no number"),
    (">11<", ">1_1<", "<xmin> is '1_1', no number"),
    ("<bndbox>", "<difficult>2</difficult><bndbox>", "<difficult> is '2', neither 0 nor 1"),
    ("cat", "c\nt", r"<name> is c\nt, no text of one line, or too long"),
    ("cat", "c" * 10**6, f"<name> is {'c' * 57}..., no text of one line, or too long"),
    (">11<", f">{'1' * 10**6}x<", f"<xmin> is '{'1' * 57}...', no number"),
]


@pytest.mark.parametrize(("old", "new", "why"), OBJECT_MISTAKES)
def test_mistakes_in_objects(root: Path, old: str, new: str, why: str) -> None:
    put(root, "b", voc_xml("b", voc_object(CAT), voc_object(CAT).replace(old, new)))
    boxes = read(root)
    assert kinds(boxes) == [("bad_object", f"b.xml object 2 ({why})")]
    assert len(boxes.annotations) == 4
    with pytest.raises(UserError, match=r"objects that cannot be used: b\.xml object 2"):
        build_index(boxes)


SPOILT = st.sampled_from(
    [
        *(
            "<!DOCTYPE a>",
            "<!ENTITY a 'b'>",
            "&a;",
            "&#0;",
            "&lt;",
            "<![CDATA[",
            "]]>",
            "<!--",
            "<?a?>",
        ),
        *("<object>", "</object>", "<name>", "</bndbox>", "<a>" * 500, "nan", "1e999", "1" * 500),
        *("\0", "\x1b", "\u2028", "\ud7ff", "é", "<", ">", "&", "'", "../", "\\"),
    ]
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 300), st.integers(0, 9), SPOILT), max_size=4))
def test_spoilt_files_are_read_or_refused(root: Path, changes: list[tuple[int, int, str]]) -> None:
    text = voc_xml("b", voc_object(CAT))
    for start, length, spoilt in changes:
        text = text[:start] + spoilt + text[start + length :]
    put(root, "b", text)
    boxes = read(root)
    assert {"a.png", "c.png"} <= {image["file_name"] for image in boxes.images}
    assert len(boxes.annotations) >= 3
    assert all(each.place.isprintable() for each in boxes.problems)
    assert all(len(each.place) < 500 for each in boxes.problems)


BOMB = (
    '<!DOCTYPE x [<!ENTITY a "ha">'
    + "".join(f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in pairwise("abcdefghij"))
    + "]><annotation>&j;</annotation>"
)
EXTERNAL = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><annotation>&a;</annotation>'
FILE_MISTAKES = [
    (BOMB, "<!DOCTYPE>"),
    (EXTERNAL, "<!DOCTYPE>"),
    (BOMB.encode("utf-16"), "<!DOCTYPE>"),
    ("", "not complete XML"),
    (voc_xml("b")[:-5], "line 1"),
    ("\n\n<annotation><a></annotation>", "line 3"),
    ('<?xml version="1.0" encoding="nonsense"?><annotation/>', "not complete XML"),
    ("<html/>", "the outermost element is <html>"),
    ("<annotation>" + "<a>" * 100_000, "not complete XML"),
    ("<annotation>" + "<a/>" * 500_000 + "</annotation>", "more than 400,000 tags"),
    (f"<{'a' * 10**6}/>", "the outermost element is <aaaaaaaa"),
    (b"\0" * (MAX_BYTES + 1), "larger than 4 MiB"),
]


@pytest.mark.parametrize(("text", "why"), FILE_MISTAKES, ids=[why for _, why in FILE_MISTAKES])
def test_files_that_are_no_annotation(root: Path, text: str | bytes, why: str) -> None:
    put(root, "b", text)
    boxes = read(root)
    assert [kind for kind, _ in kinds(boxes)] == ["bad_xml"]
    assert kinds(boxes)[0][1].startswith("b.xml (")
    assert why in kinds(boxes)[0][1]
    assert [each["file_name"] for each in boxes.images] == ["a.png", "c.png"]
    assert class_names([root / "Annotations"]) == NAMES


def test_a_choice_of_pictures_is_all_that_is_read(root: Path) -> None:
    (root / "JPEGImages/b.png").rename(root / "JPEGImages/z.png")
    put(root, "c", "no XML")
    asked: list[list[str]] = []

    def first(names: Sequence[str]) -> list[int]:
        asked.append([*names])
        return [0]

    boxes = read_voc(root / "Annotations", root / "JPEGImages", None, NAMES, choose=first)
    assert asked == [["a.png", "c.png"]]
    assert [each["file_name"] for each in boxes.images] == ["a.png"]
    assert kinds(boxes) == [("missing_picture", "b")]


def test_a_file_is_parsed_again_only_if_it_changed(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed: list[str] = []
    parse = voc_xml_module._parse

    def count(file: Path) -> Element:
        parsed.append(file.name)
        return parse(file)

    monkeypatch.setattr(voc_xml_module, "_parse", count)
    class_names([root / "Annotations"])
    read(root)
    assert sorted(parsed) == ["a.xml", "b.xml", "c.xml"]
    put(root, "b", voc_xml("b", voc_object(CAT)))
    assert len(read(root).annotations) == 4
    assert parsed[3:] == ["b.xml"]
    voc_xml_module.forget()
    read(root)
    assert len(parsed) == 7


def test_missing_folders(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"annotation folder .*Annotations and image folder"):
        read(tmp_path, "a")
    with pytest.raises(UserError, match="annotation folder"):
        class_names([tmp_path / "Annotations"])
    write_voc(tmp_path, {"a": []})
    with pytest.raises(UserError, match=r"no objects .* set data\.classes"):
        class_names([tmp_path / "Annotations"])
    (tmp_path / "Annotations/a.xml").unlink()
    with pytest.raises(UserError, match="no XML files"):
        read(tmp_path)


def test_real_coco_as_voc(shared: Path, tmp_path: Path) -> None:
    root = shared / "data" / "coco"
    file = root / "annotations" / "instances_val2017.json"
    data = json.loads(file.read_text())
    names = {entry["id"]: entry["name"] for entry in data["categories"]}
    (tmp_path / "Annotations").mkdir()
    for image in data["images"]:
        single = (each for each in data["annotations"] if each["image_id"] == image["id"])
        objects = [
            voc_object((names[each["category_id"]], *each["bbox"]))
            for each in single
            if not each["iscrowd"]
        ]
        key = Path(image["file_name"]).stem
        put(tmp_path, key, voc_xml(key, *objects, size=(image["width"], image["height"])))
    pictures = root / "val2017"
    listed = tmp_path / "list.txt"
    order = sorted(data["images"], key=lambda image: image["id"])
    listed.write_text("".join(f"{image['file_name']}\n" for image in order))
    index = build_index(read_voc(tmp_path / "Annotations", pictures, listed, list(names.values())))
    expected = build_index(read_coco(file, pictures))
    np.testing.assert_allclose(index.boxes, expected.boxes, atol=1e-4)
    assert index.labels.tolist() == expected.labels.tolist()
    assert index.box_offsets.tolist() == expected.box_offsets.tolist()
    assert index.box_report.message() is None
