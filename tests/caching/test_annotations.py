import json
import math
from fractions import Fraction
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from mnv2_dense.caching.annotations import scale_annotation, write_annotations, write_original
from mnv2_dense.caching.table import Entry, Stamp
from mnv2_dense.formats.box_set import BoxSet
from mnv2_dense.formats.coco import read_coco
from mnv2_dense.structures import ImageSize
from tests.formats.box_sets import HEIGHT, WIDTH, annotation, box_set

coordinates = st.floats(0, 1000)
sides = st.integers(1, 2000)


def entry(name: str, cached: ImageSize) -> Entry:
    size = ImageSize(HEIGHT, WIDTH)
    stamp = Stamp(f"{name}.jpg", 1, 1)
    return Entry(f"train2017/{name}", (stamp,), size, cached, {f"train2017/{name}.jpg": 1})


@given(st.lists(coordinates, min_size=4, max_size=4), coordinates, sides, sides, sides, sides)
def test_boxes_and_areas_by_exact_fractions(
    box: list[float], area: float, old_width: int, old_height: int, width: int, height: int
) -> None:
    given_ = annotation(1, 1, 5, *box, area=area)
    found = scale_annotation(given_, width / old_width, height / old_height)
    across, down = Fraction(width, old_width), Fraction(height, old_height)
    exact = [Fraction(value) * ratio for value, ratio in zip(box, [across, down] * 2, strict=True)]
    for value, wanted in zip(found["bbox"], exact, strict=True):
        assert math.isclose(value, wanted, rel_tol=1e-15, abs_tol=1e-300)
    wanted = Fraction(area) * across * down
    assert math.isclose(found["area"], wanted, rel_tol=1e-15, abs_tol=1e-300)


def test_what_else_is_known_of_a_box_is_kept() -> None:
    before = annotation(3, 1, 5, 4, 6, 10, 20, area=77.0, iscrowd=1, difficult=1)
    found = scale_annotation({**before, "segmentation": [[1, 2, 3]], "place": "a.xml"}, 0.5, 0.25)
    assert found == {**before, "bbox": [2, 1.5, 5, 5], "area": 77 / 8}
    assert "area" not in scale_annotation(annotation(3, 1, 5, 4, 6, 10, 20), 0.5, 0.5)


def whole_set(folder: Path) -> BoxSet:
    return box_set(
        folder,
        annotation(7, 1, 9, 4, 3, 20, 12, area=100.0),
        annotation(8, 2, 5, 1, 1, 2, 2, iscrowd=1),
        annotation(9, 1, 5, math.nan, 1, 2, 2),
        {**annotation(0, 1, 5, 1 / 3, 0, 3, 3), "place": "a.xml object 2"},
    )


def test_both_files_hold_the_cached_pictures_with_their_own_sizes(tmp_path: Path) -> None:
    boxes = whole_set(tmp_path)
    entries = {1: entry("a", ImageSize(10, 20))}
    write_annotations(tmp_path / "x" / "scaled.json", boxes, entries, "train2017")
    write_original(tmp_path / "x" / "original.json", boxes, entries, "train2017")
    scaled, original = (
        json.loads((tmp_path / "x" / f"{name}.json").read_text()) for name in ("scaled", "original")
    )
    assert scaled["images"] == [{"id": 1, "file_name": "a.jpg", "width": 20, "height": 10}]
    assert original["images"] == [{"id": 1, "file_name": "a.jpg", "width": 40, "height": 30}]
    assert scaled["categories"] == original["categories"]
    assert scaled["categories"] == [{"id": 5, "name": "cat"}, {"id": 9, "name": "dog"}]
    assert [each["bbox"] for each in scaled["annotations"]] == [
        [2, 3 * (10 / 30), 10, 12 * (10 / 30)],
        [1 / 6, 0, 1.5, 3 * (10 / 30)],
    ]
    assert [each["bbox"] for each in original["annotations"]] == [[4, 3, 20, 12], [1 / 3, 0, 3, 3]]
    assert [each.get("area") for each in original["annotations"]] == [100, None]


def test_boxes_without_ids_are_numbered_and_read_again(tmp_path: Path) -> None:
    listed = whole_set(tmp_path).annotations
    bare = [{key: value for key, value in each.items() if key != "id"} for each in listed[:2]]
    boxes = box_set(tmp_path, *bare)
    entries = {1: entry("a", ImageSize(30, 40)), 2: entry("b", ImageSize(3, 4))}
    write_annotations(tmp_path / "scaled.json", boxes, entries, "train2017")
    found = read_coco(tmp_path / "scaled.json", tmp_path)
    ids = [(each["id"], each["image_id"], each["iscrowd"]) for each in found.annotations]
    assert ids == [(1, 1, 0), (2, 2, 1)]
    assert found.annotations[1]["bbox"] == [0.1, 0.1, 0.2, 0.2]
