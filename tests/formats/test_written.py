from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mnv2_dense.formats.box_set import BoxSet, Record
from mnv2_dense.formats.coco import read_coco
from mnv2_dense.formats.voc import class_names, read_voc
from mnv2_dense.formats.write_coco import write_coco
from mnv2_dense.formats.write_voc import write_voc
from mnv2_dense.formats.write_yolo import write_yolo
from mnv2_dense.formats.written import Splits, Written, describe_ids, flat_keys
from mnv2_dense.formats.yolo import read_yolo
from tests.formats.box_sets import annotation, box_set


def test_keys_are_file_names_where_these_differ(tmp_path: Path) -> None:
    train = box_set(tmp_path, names={1: "a.png", 2: "sub/b.png"})
    val = box_set(tmp_path, names={1: "c.png"})
    assert flat_keys({"train": train, "val": val}) == {"train": ["a", "b"], "val": ["c"]}


def test_keys_of_equal_names_take_more_in(tmp_path: Path) -> None:
    one = box_set(tmp_path, names={1: "a.png"})
    assert flat_keys({"train": one, "val": one}) == {"train": ["train_a"], "val": ["val_a"]}
    folders = box_set(tmp_path, names={1: "x/a.png", 2: "y/a.png"})
    assert flat_keys({"train": folders}) == {"train": ["train_x_a_png", "train_y_a_png"]}
    alike = box_set(tmp_path, names={1: "x/a.png", 2: "x_a.png", 3: "X_a.png"})
    assert flat_keys({"train": alike}) == {"train": [f"train_{n:06}" for n in range(3)]}


def test_ids_are_lost_only_where_there_are_some(tmp_path: Path) -> None:
    own = box_set(tmp_path, annotation(1, 1, 5, 0, 0, 4, 4))
    given = box_set(tmp_path, annotation(1, 1, 5, 0, 0, 4, 4, place="a.xml object 1"))
    assert len(describe_ids({"train": own})) == 1
    assert describe_ids({"train": given}) == []


# COCO to VOC or YOLO and back, on real annotations: equal to what the formats can hold

SPLITS = {"train": "train2017", "val": "val2017"}


def write(writer: Callable[[Splits, Path], Written], splits: Splits, out: Path) -> Written:
    out.mkdir()
    written = writer(splits, out)
    for picture, place in written.pictures:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(picture.resolve())
    return written


def back_to_coco(splits: Splits, out: Path) -> dict[str, BoxSet]:
    write(write_coco, splits, out)
    return {
        split: read_coco(out / f"annotations/instances_{split}.json", out / split)
        for split in splits
    }


def by_picture(boxes: BoxSet) -> dict[str, list[tuple[str, int, Record]]]:
    """Name of the class, crowd and annotation of every box, by the stem of its picture."""
    stems = {image["id"]: Path(image["file_name"]).stem for image in boxes.images}
    found: dict[str, list[tuple[str, int, Record]]] = {stem: [] for stem in stems.values()}
    names = dict(boxes.categories)
    for entry in boxes.annotations:
        record = (names[entry["category_id"]], int(entry["iscrowd"]), entry)
        found[stems[entry["image_id"]]].append(record)
    return found


def assert_equal_boxes(before: BoxSet, after: BoxSet, *, crowds: bool) -> None:
    first, second = by_picture(before), by_picture(after)
    assert set(first) == set(second)
    compared = 0
    for stem, entries in first.items():
        wanted = [entry for entry in entries if crowds or not entry[1]]
        assert [entry[:2] for entry in wanted] == [entry[:2] for entry in second[stem]]
        for one, other in zip(wanted, second[stem], strict=True):
            np.testing.assert_allclose(one[2]["bbox"], other[2]["bbox"], rtol=0, atol=1e-6)
            compared += 1
    assert compared == sum(crowds or not entry["iscrowd"] for entry in before.annotations)


@pytest.fixture
def coco(shared: Path) -> dict[str, BoxSet]:
    root = shared / "data" / "coco"
    return {
        split: read_coco(root / f"annotations/instances_{name}.json", root / name)
        for split, name in SPLITS.items()
    }


def test_coco_to_voc_and_back(coco: dict[str, BoxSet], tmp_path: Path) -> None:
    root = tmp_path / "voc"
    write(write_voc, coco, root)
    names = class_names([root / "Annotations"])
    lists = {split: root / "ImageSets" / "Main" / f"{split}.txt" for split in SPLITS}
    voc = {
        split: read_voc(root / "Annotations", root / "JPEGImages", file, names)
        for split, file in lists.items()
    }
    for split, boxes in back_to_coco(voc, tmp_path / "coco").items():
        assert boxes.problems == []
        assert_equal_boxes(coco[split], boxes, crowds=True)


def test_coco_to_yolo_and_back(coco: dict[str, BoxSet], tmp_path: Path) -> None:
    written = write(write_yolo, coco, tmp_path / "yolo")
    # None is clipped: COCO's boxes end at their pictures' borders, but for rounding.
    assert not [line for line in written.lost if "left out" in line and "crowd" not in line]
    yolo = {
        split: read_yolo(tmp_path / "yolo", split, None, None, upright=False) for split in SPLITS
    }
    for split, boxes in back_to_coco(yolo, tmp_path / "coco").items():
        assert boxes.problems == []
        assert_equal_boxes(coco[split], boxes, crowds=False)


def test_yolo_and_voc_hold_the_same(coco: dict[str, BoxSet], tmp_path: Path) -> None:
    """VOC to YOLO to VOC, where neither has ids."""
    small = {"train": coco["val"]}
    root, again = tmp_path / "voc", tmp_path / "voc_again"
    write(write_voc, small, root)
    names = class_names([root / "Annotations"])
    voc = read_voc(root / "Annotations", root / "JPEGImages", None, names)
    written = write(write_yolo, {"train": voc}, tmp_path / "yolo")
    assert not any("ids" in line for line in written.lost)
    yolo = read_yolo(tmp_path / "yolo", "train", None, None, upright=False)
    write(write_voc, {"train": yolo}, again)
    last = read_voc(again / "Annotations", again / "JPEGImages", None, names)
    assert_equal_boxes(voc, last, crowds=False)
