from pathlib import Path

import pytest

from mnv2_dense.errors import UserError
from mnv2_dense.formats.write_yolo import write_yolo
from mnv2_dense.formats.yolo import read_yolo
from tests.formats.box_sets import annotation, box_set, fill_pictures


def test_lines_are_shares_of_the_picture(tmp_path: Path) -> None:
    boxes = box_set(tmp_path / "p", annotation(1, 1, 9, 10, 15, 20, 3))
    write_yolo({"train": boxes}, tmp_path)
    assert (tmp_path / "labels" / "train" / "a.txt").read_text() == "1 0.5 0.55 0.5 0.1\n"
    assert (tmp_path / "labels" / "train" / "b.txt").read_text() == ""


def test_a_set_written_and_read_again(tmp_path: Path) -> None:
    box = [3.07, 5.93, 18.65, 8.67]
    boxes = box_set(tmp_path / "p", annotation(1, 2, 5, *box), names={1: "a.png", 2: "sub/b.png"})
    written = write_yolo({"train": boxes, "val": boxes}, tmp_path)
    fill_pictures(written)
    assert written.data == {"format": "yolo"}
    again = read_yolo(tmp_path, "val", None, None, upright=False)
    assert again.problems == []
    assert [category.name for category in again.categories] == ["cat", "dog"]
    assert [entry["bbox"] for entry in again.annotations] == [pytest.approx(box, abs=1e-8)]
    assert len(again.images) == 2


def test_boxes_are_clipped_or_left_out_and_said(tmp_path: Path) -> None:
    boxes = box_set(
        tmp_path / "p",
        annotation(1, 1, 5, -10, 0, 20, 30),
        annotation(2, 1, 5, 50, 0, 5, 5),
        annotation(3, 1, 5, 0, 0, 0, 5),
        annotation(4, 1, 5, 0, 0, 5, 5, iscrowd=1),
        annotation(5, 1, 5, 0, 0, 40, 30, difficult=1),
    )
    lost = "\n".join(write_yolo({"train": boxes}, tmp_path).lost)
    for text in ("1 boxes: clipped", "2 boxes without area", "1 crowd boxes", "1 difficult"):
        assert text in lost
    lines = (tmp_path / "labels" / "train" / "a.txt").read_text().splitlines()
    assert lines == ["0 0.125 0.5 0.25 1", "0 0.5 0.5 1 1"]


def test_pictures_that_would_share_a_label_file(tmp_path: Path) -> None:
    boxes = box_set(tmp_path / "p", names={1: "a.png", 2: "a.bmp"})
    with pytest.raises(UserError, match=r"a\.bmp and another picture of that name"):
        write_yolo({"train": boxes}, tmp_path)


@pytest.mark.parametrize(
    "names",
    [
        {1: "images/a.png", 2: "images/b.png"},
        {1: "images/a.png", 2: "a.png"},
        {1: "x/images/y/a.png", 2: "labels/a.png"},
    ],
)
def test_folders_named_images(tmp_path: Path, names: dict[int, str]) -> None:
    entries = [annotation(1, 1, 5, 0, 0, 4, 3), annotation(2, 2, 9, 8, 6, 4, 3)]
    boxes = box_set(tmp_path / "p", *entries, names=names)
    fill_pictures(write_yolo({"train": boxes}, tmp_path))
    again = read_yolo(tmp_path, "train", None, None, upright=False)
    boxes_of = {entry["category_id"]: entry["bbox"] for entry in again.annotations}
    assert boxes_of == {0: [0, 0, 4, 3], 1: [8, 6, 4, 3]}
    assert again.problems == []


def test_pictures_that_readers_would_pass_over(tmp_path: Path) -> None:
    entries = [annotation(1, 1, 5, 0, 0, 4, 3), annotation(2, 2, 5, 8, 6, 4, 3)]
    boxes = box_set(tmp_path / "p", *entries, names={1: ".sub/.a.png", 2: "b.png"})
    (tmp_path / "p" / "b.png").rename(tmp_path / "p" / "b")
    boxes.images[1]["file_name"] = "b"
    written = write_yolo({"train": boxes}, tmp_path)
    fill_pictures(written)
    again = read_yolo(tmp_path, "train", None, None, upright=False)
    assert sorted(image["file_name"] for image in again.images) == ["_sub/_a.png", "b.png"]
    assert len(again.annotations) == 2
    assert "names of 2 pictures" in written.lost[-1]


def test_a_picture_that_cannot_be_named_is_refused(tmp_path: Path) -> None:
    boxes = box_set(tmp_path / "p")
    (tmp_path / "p" / "b").write_bytes(b"no picture")
    boxes.images[1]["file_name"] = "b"
    with pytest.raises(UserError, match="p/b"):
        write_yolo({"train": boxes}, tmp_path)


def test_classes_without_names(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="class names"):
        write_yolo({"train": box_set(tmp_path / "p", classes={5: ""})}, tmp_path)


def test_marks_that_yolo_has_none_of(tmp_path: Path) -> None:
    boxes = box_set(tmp_path / "p", annotation(1, 1, 5, 0, 0, 4, 3, pose="Left"))
    assert "fields of annotations that are not kept: pose" in (
        write_yolo({"train": boxes}, tmp_path).lost
    )
