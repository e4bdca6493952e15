"""Annotations that cannot be used, one by one and by the thousand."""

import json
from pathlib import Path

import pytest

from mnv2_dense.formats.box_set import BoxSet
from mnv2_dense.formats.coco import read_coco
from mnv2_dense.formats.problems import KEPT, describe, total
from tests.detection.coco_folder import Folder, annotation, content

HUGE = "9" * 5000
MARK = "MARK"


def read(folder: Folder, text: str, *, whole: bool = False) -> BoxSet:
    folder.file.write_text(text, encoding="utf-8", errors="surrogatepass")
    return read_coco(folder.file, folder.images, whole=whole)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("bbox", f"[1, 2, 3, {HUGE}]", "bad_box_record 11"),
        ("bbox", "[1, 2, 3, 1e999]", ""),
        ("area", HUGE, "bad_area 11"),
        (
            "image_id",
            HUGE,
            "unknown_image_id 11 (image_id 100000000000000000...0000000000000000000)",
        ),
        ("image_id", '"70"', "unknown_image_id 11 (image_id '70')"),
        ("bbox", "null", "bad_box_record 11"),
        ("id", HUGE, "no_id 0"),
        ("segmentation", '{"size": 1, "size": 2}', "doubled_key 11 (key 'size')"),
    ],
)
def test_wrong_values_are_named_by_annotation_id(
    folder: Folder, key: str, value: str, words: str
) -> None:
    data = content()
    data["annotations"][0][key] = MARK
    boxes = read(folder, json.dumps(data).replace(f'"{MARK}"', value))
    assert [f"{each.kind} {each.place}" for each in boxes.problems] == ([words] if words else [])


def test_of_many_mistakes_the_first_are_kept_and_all_counted(folder: Folder) -> None:
    data = content()
    data["annotations"] = [annotation(number, 404, 1, 0, 0, 9, 9) for number in range(KEPT + 500)]
    found = read(folder, json.dumps(data)).problems
    assert (len(found), total(found)) == (KEPT, KEPT + 500)
    assert describe(found).endswith(f"4 (image_id 404) and {KEPT + 495} more")


def test_no_annotation_with_an_id(folder: Folder) -> None:
    data = content()
    data["annotations"] = [{"image_id": 5}]
    for whole in (False, True):
        boxes = read(folder, json.dumps(data), whole=whole)
        assert [problem.kind for problem in boxes.problems] == ["no_id"]
        assert list(boxes.annotations) == []
