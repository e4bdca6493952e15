"""What `tests/detection/test_targets.py`, which reads COCO files into an index, does not see."""

import json
from pathlib import Path
from typing import Any

import pytest

from mnv2_dense.errors import UserError
from mnv2_dense.formats.box_set import BoxSet
from mnv2_dense.formats.coco import read_coco
from mnv2_dense.formats.problems import refuse
from mnv2_dense.structures import Category
from tests.detection.coco_folder import Folder, annotation, content


def read(root: Path, data: object) -> BoxSet:
    folder = Folder(root)
    folder.file.write_text(json.dumps(data))
    return read_coco(folder.file, folder.images)


def places(boxes: BoxSet) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for problem in boxes.problems:
        found.setdefault(problem.kind, []).append(problem.place)
    return found


def test_a_sound_file(tmp_path: Path) -> None:
    boxes = read(tmp_path, content())
    assert boxes.problems == []
    assert boxes.places == "annotation ids"
    assert [image["id"] for image in boxes.images] == [5, 70, 900]
    assert boxes.categories == (Category(1, "person"), Category(90, "toothbrush"))
    assert list(boxes.annotations) == content()["annotations"]


def test_what_is_sound_is_read_beside_all_mistakes(tmp_path: Path) -> None:
    data = content()
    data["images"] += [{"id": 6, "file_name": "6.png", "width": 0, "height": 5}, "x", {"id": 5}]
    data["categories"] += [{"id": 7}]
    data["annotations"] += [
        annotation(20, 6, 1, 0, 0, 5, 5),  # of a bad image
        annotation(21, 5, 7, 0, 0, 5, 5),  # of a bad category
        annotation(22, 404, 1, 0, 0, 5, 5),
        annotation(23, 5, 404, 0, 0, 5, 5),
        annotation(24, 5, 1, 0, 0, 5),
        {**annotation(25, 5, 1, 0, 0, 5, 5), "iscrowd": 2},
        {**annotation(26, 5, 1, 0, 0, 5, 5), "area": -1},
    ]
    boxes = read(tmp_path, data)
    assert places(boxes) == {
        "no_id": ["4"],
        "duplicate_id": ["5"],
        "bad_image_record": ["6"],
        "unnamed_category": ["7"],
        "bad_box_record": ["24"],
        "bad_iscrowd": ["25"],
        "bad_area": ["26"],
        "unknown_image_id": ["22 (image_id 404)"],
        "unknown_category_id": ["23 (category_id 404)"],
    }
    assert [entry["id"] for entry in boxes.annotations] == [11, 0, 12, 13]
    assert [image["id"] for image in boxes.images] == [5, 70, 900]
    with pytest.raises(UserError, match=r"^9 kinds of mistakes in the data\n"):
        refuse(boxes.problems)


def _last(**values: Any) -> dict[str, Any]:
    return {**annotation(13, 70, 1, 0, 0, 30, 30), **values}


@pytest.mark.parametrize("entry", [_last(iscrowd="1"), _last(iscrowd=None), _last(iscrowd=[1])])
def test_crowd_marks(tmp_path: Path, entry: dict[str, Any]) -> None:
    data = content()
    data["annotations"][3] = entry
    assert places(read(tmp_path, data)) == {"bad_iscrowd": ["13"]}


@pytest.mark.parametrize("area", ["big", None, float("nan"), float("inf"), []])
def test_areas(tmp_path: Path, area: object) -> None:
    data = content()
    data["annotations"][3] = _last(area=area)
    assert places(read(tmp_path, data)) == {"bad_area": ["13"]}


def test_a_missing_picture_stays_in_the_set(tmp_path: Path) -> None:
    data = content()
    data["images"][0]["file_name"] = "gone.png"
    boxes = read(tmp_path, data)
    assert places(boxes) == {"missing_picture": ["gone.png"]}
    assert len(boxes.images) == 3


@pytest.mark.parametrize("name", ["5.png", "./5.png"])
def test_one_picture_of_two_images(tmp_path: Path, name: str) -> None:
    data = content()
    sides = {"width": 40, "height": 30}
    data["images"] += [{"id": 6, "file_name": name, **sides}, {"id": 7, "file_name": "5.PNG"}]
    data["images"][-1] |= sides
    data["annotations"] += [annotation(20, 6, 1, 0, 0, 5, 5)]
    boxes = read(tmp_path, data)
    assert places(boxes)["duplicate_file_name"] == ["5.png (image ids 5, 6)"]
    assert [image["id"] for image in boxes.images] == [5, 7, 70, 900]
    assert 20 not in {entry["id"] for entry in boxes.annotations}
    with pytest.raises(UserError, match=r"several images have the same file_name: 5\.png"):
        refuse(boxes.problems)


@pytest.mark.parametrize(
    ("name", "kind", "place"),
    [
        ("\ud800.png", "bad_image_record", "70"),
        ("\x1b[2J.png", "missing_picture", r"\x1b[2J.png"),
        ("a\nb.png", "missing_picture", r"a\nb.png"),
        ("é" * 200 + ".png", "missing_picture", "é" * 200 + ".png"),
        ("é" * 2048 + ".png", "bad_image_record", "70"),
        ("x" * 400, "missing_picture", "x" * 297 + "..."),
    ],
)
def test_names_that_no_file_has(tmp_path: Path, name: str, kind: str, place: str) -> None:
    data = content()
    data["images"][0]["file_name"] = name
    boxes = read(tmp_path, data)
    assert places(boxes)[kind] == [place]
    with pytest.raises(UserError) as caught:
        refuse(boxes.problems)
    assert all(line.isprintable() for line in str(caught.value).split("\n"))


def test_links_to_other_files_are_refused(tmp_path: Path) -> None:
    """Folders may be links, and pictures may lie elsewhere; nothing else may."""
    folder = Folder(tmp_path)
    folder.file.write_text(json.dumps(content()))
    secret, kept = tmp_path / "secret.txt", tmp_path / "elsewhere.png"
    secret.write_text("private")
    (folder.images / "5.png").rename(kept)
    (folder.images / "5.png").symlink_to(kept)
    (folder.images / "70.png").rename(folder.images / "blob")
    (folder.images / "70.png").symlink_to("blob")
    folder.images.rename(tmp_path / "disk")
    folder.images.symlink_to(tmp_path / "disk")
    assert read_coco(folder.file, folder.images).problems == []
    (folder.images / "900.png").unlink()
    (folder.images / "900.png").symlink_to(secret)
    (problem,) = read_coco(folder.file, folder.images).problems
    assert (problem.kind, problem.place) == ("foreign_link", f"900.png -> {secret}")
    assert "cp -L" in problem.remedy
