import json
from pathlib import Path
from types import ModuleType

import pytest

from mnv2_dense.builders import detection_data
from mnv2_dense.builders.detection_data import (
    forget_files,
    read_boxes,
    read_split,
    read_truth,
    settle_classes,
)
from mnv2_dense.config.detection import DetectionData
from mnv2_dense.detection.scoring import evaluate
from mnv2_dense.errors import UserError
from mnv2_dense.formats import picture_files, yolo
from mnv2_dense.formats import voc_xml as voc_files
from mnv2_dense.images import image_size
from mnv2_dense.structures import ImageSize
from tests.formats.three_formats import (
    BOXES,
    draw,
    voc_object,
    voc_xml,
    write_coco,
    write_voc,
    write_yolo,
)

ALL = {**{f"{number}{key}": boxes for number in range(4) for key, boxes in BOXES.items()}}
WRITERS = {"coco": write_coco, "voc": write_voc, "yolo": write_yolo}


@pytest.mark.parametrize("name", WRITERS)
def test_a_share_is_drawn_from_every_format(tmp_path: Path, name: str) -> None:
    WRITERS[name](tmp_path, ALL)
    data = DetectionData.model_validate({"format": name, "root": str(tmp_path), "val_share": 0.25})
    train, val = read_split(data, "train"), read_split(data, "val")
    names = [{index.path(i).name for i in range(len(index))} for index in (train, val)]
    assert (len(names[0]), len(names[1])) == (9, 3)
    assert names[0] | names[1] == {f"{key}.png" for key in ALL}
    assert [category.name for category in val.categories] == ["cat", "dog"]
    other = data.model_copy(update={"split_seed": 1})
    again = read_split(other, "val")
    assert {again.path(i).name for i in range(len(again))} != names[1]
    truth = read_truth(data)
    assert {image["file_name"] for image in truth["images"]} == names[1]
    assert evaluate(truth, []).images == 3


@pytest.mark.parametrize("name", WRITERS)
def test_classes_are_chosen(tmp_path: Path, name: str) -> None:
    WRITERS[name](tmp_path)
    chosen = {"format": name, "root": str(tmp_path), "val_share": 0.3, "classes": ["dog"]}
    boxes = read_boxes(DetectionData.model_validate(chosen), "train")
    assert [category.name for category in boxes.categories] == ["dog"]
    assert len(boxes.images) == 2
    with pytest.raises(UserError, match=r"no box to train on .*horse|no class named horse"):
        read_split(DetectionData.model_validate({**chosen, "classes": ["horse"]}), "train")


@pytest.mark.parametrize(
    ("name", "module", "function", "train_and_val", "for_truth"),
    [
        ("coco", detection_data, "read_coco", 1, 1),
        ("voc", voc_files, "_parse", len(ALL), 3),
        ("yolo", yolo, "read_labels", 8, None),
    ],
)
def test_every_file_is_read_once(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    module: ModuleType,
    function: str,
    train_and_val: int,
    for_truth: int | None,
) -> None:
    """Of a share: by the class list and both splits; and once more what is measured."""
    WRITERS[name](tmp_path, ALL)
    calls: list[object] = []
    whole = getattr(module, function)

    def count(*given: object, **keys: object) -> object:
        calls.append(given)
        return whole(*given, **keys)

    monkeypatch.setattr(module, function, count)
    keys = {"format": name, "root": str(tmp_path), "val_share": 0.25}
    data = settle_classes(DetectionData.model_validate(keys))
    for split in ("train", "val"):
        read_split(data, split)
    assert len(calls) == train_and_val
    forget_files()
    images = read_truth(data)["images"]
    labelled = sum(bool(ALL[Path(image["file_name"]).stem]) for image in images)
    assert len(calls) - train_and_val == (labelled if for_truth is None else for_truth)


def test_sizes_of_pictures_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_yolo(tmp_path, ALL)
    opened: list[str] = []

    def count(path: Path, *, upright: bool) -> ImageSize:
        opened.append(path.stem)
        return image_size(path, upright=upright)

    monkeypatch.setattr(picture_files, "image_size", count)
    keys = {"format": "yolo", "root": str(tmp_path), "val_share": 0.25}
    for split in ("train", "val"):
        read_split(DetectionData.model_validate(keys), split)
    assert sorted(opened) == sorted(ALL)


def test_a_file_that_changed_is_read_again(tmp_path: Path) -> None:
    write_coco(tmp_path, ALL)
    data = DetectionData.model_validate({"root": str(tmp_path), "val_share": 0.25})
    assert len(read_boxes(data, "train").images) == 9
    file = tmp_path / "annotations.json"
    content = json.loads(file.read_text())
    content["images"] = content["images"][:8]
    file.write_text(json.dumps(content))
    assert len(read_boxes(data, "train").images) == 6


def test_nothing_is_kept_after_the_truth(tmp_path: Path) -> None:
    write_coco(tmp_path, ALL)
    data = DetectionData.model_validate({"root": str(tmp_path), "val_share": 0.25})
    read_split(data, "train")
    assert detection_data._read_whole.cache_info().currsize == 1
    read_truth(data)
    assert detection_data._read_whole.cache_info().currsize == 0


def test_a_name_that_no_file_can_have(tmp_path: Path) -> None:
    write_coco(tmp_path)
    file = tmp_path / "annotations.json"
    file.write_text(file.read_text().replace("a.png", "\\ud800.png"))
    data = DetectionData.model_validate({"root": str(tmp_path), "val_share": 0.5})
    with pytest.raises(UserError, match="no file_name, or"):
        read_split(data, "train")


def test_vocs_classes_are_those_of_both_splits(tmp_path: Path) -> None:
    for split, (key, name) in {"train": ("a", "dog"), "valid": ("b", "cat")}.items():
        draw(tmp_path / split, [key])
        text = voc_xml(key, voc_object((name, 0, 0, 4, 4)))
        (tmp_path / split / f"{key}.xml").write_text(text)
    keys = {"format": "voc", "root": str(tmp_path), "train_images": "train", "val_images": "valid"}
    data = settle_classes(DetectionData.model_validate(keys))
    assert data.classes == ("cat", "dog")
    assert settle_classes(data) is data
    for split in ("train", "val"):
        index = read_split(data, split)
        assert (len(index), [each.name for each in index.categories]) == (1, ["cat", "dog"])


def test_difficult_boxes_are_trained_on_and_not_measured(tmp_path: Path) -> None:
    draw(tmp_path / "train", ["a"])
    objects = [
        voc_object(("cat", 0, 0, 9, 9)),
        voc_object(("cat", 20, 0, 9, 9), "<difficult>1</difficult>"),
    ]
    (tmp_path / "train" / "a.xml").write_text(voc_xml("a", *objects))
    keys = {"format": "voc", "root": str(tmp_path), "train_images": "train", "val_images": "train"}
    keys |= {"train_list": "list.txt", "val_list": "list.txt"}
    (tmp_path / "list.txt").write_text("a\n")
    data = DetectionData.model_validate(keys)
    assert len(read_split(data, "train").boxes) == 2
    found = [{"image_id": 1, "category_id": 1, "bbox": [0, 0, 9, 9], "score": 0.5}]
    assert evaluate(read_truth(data), found).summary["mAP"] == pytest.approx(1)


def test_an_unreadable_picture_without_a_known_size(tmp_path: Path) -> None:
    write_yolo(tmp_path, ALL)
    bad = tmp_path / "images" / "train" / "1a.png"
    bad.write_bytes(b"no picture")
    keys = {"format": "yolo", "root": str(tmp_path), "val_share": 0.25}
    with pytest.raises(UserError, match=str(bad)):
        read_split(DetectionData.model_validate(keys), "train")
    data = DetectionData.model_validate({**keys, "on_bad_image": "skip"})
    train, val = read_split(data, "train"), read_split(data, "val")
    assert len(train) + len(val) == len(ALL) - 1
    assert any(str(bad) in note for note in train.notes)


def test_what_the_reader_left_out_is_noted(tmp_path: Path) -> None:
    write_voc(tmp_path)
    keys = {"format": "voc", "root": str(tmp_path), "val_share": 0.3, "classes": ["cat"]}
    notes = read_split(DetectionData.model_validate(keys), "train").notes
    assert any("data.classes lacks" in note and "(dog)" in note for note in notes)


def test_both_places_are_needed(tmp_path: Path) -> None:
    write_coco(tmp_path)
    data = DetectionData.model_validate({"root": str(tmp_path), "val_annotations": None})
    with pytest.raises(UserError, match=r"data\.val_images and data\.val_annotations"):
        read_split(data, "val")


def test_the_same_pictures_are_refused_for_both_splits() -> None:
    keys = {"format": "voc", "train_images": "all", "val_images": "all"}
    with pytest.raises(ValueError, match="would be the training pictures"):
        DetectionData.model_validate(keys)
