from pathlib import Path
from typing import Any

import pytest

from mnv2_dense.config.loader import parse_config
from mnv2_dense.config.schema import Config
from mnv2_dense.errors import UserError
from mnv2_dense.formats.recognition import VAL_SHARE, recognise
from tests.formats.three_formats import draw, voc_xml, write_coco, write_voc, write_yolo

DRAWN = {"val_share": VAL_SHARE}
COCO_TEXT = (
    '{"info": {}, "images": [{"id": 1, "file_name": "NAME", "width": 40, "height": 20}],'
    '"annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 5, 5]}],'
    '"categories": [{"id": 1, "name": "a"}]}'
)


def keys_of(folder: Path, task: str = "detection", given: str | None = None) -> dict[str, Any]:
    """The keys but for root, which a config takes."""
    found = recognise(folder, given)
    data = dict(found["data"])
    assert found["task"] == task
    assert data.pop("root") == str(folder)
    config(folder, given)
    return data


def config(folder: Path, task: str | None = None) -> Config:
    return parse_config(recognise(folder, task), [], name="test")


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")


def coco(root: Path, file: str, picture: str, folder: str) -> None:
    touch(root, f"{folder}/{picture}", file)
    (root / file).write_text(COCO_TEXT.replace("NAME", picture))


def test_coco_2017(tmp_path: Path) -> None:
    for split in ("train", "val"):
        coco(tmp_path, f"annotations/instances_{split}2017.json", "1.jpg", f"{split}2017")
        coco(tmp_path, f"annotations/person_keypoints_{split}2017.json", "1.jpg", f"{split}2017")
    assert keys_of(tmp_path) == {}
    data = config(tmp_path).data
    assert data.val_images == "val2017"
    assert keys_of(tmp_path, "segmentation", "segmentation") == {"format": "coco"}


def test_one_coco_file(tmp_path: Path) -> None:
    write_coco(tmp_path)
    touch(tmp_path, "other.json")
    (tmp_path / "package.json").write_text('{"images": []}')
    assert keys_of(tmp_path) == DRAWN
    (tmp_path / "annotations.json").rename(tmp_path / "boxes.json")
    keys = {"train_images": "images", "train_annotations": "boxes.json"}
    assert keys_of(tmp_path) == {**keys, **DRAWN}


def test_coco_as_roboflow_exports_it(tmp_path: Path) -> None:
    for split in ("train", "valid"):
        coco(tmp_path, f"{split}/_annotations.coco.json", "a_jpg.rf.1.jpg", split)
    coco(tmp_path, "test/_annotations.coco.json", "a.jpg", "test")
    assert keys_of(tmp_path) == {
        "train_images": "train",
        "train_annotations": "train/_annotations.coco.json",
        "val_images": "valid",
        "val_annotations": "valid/_annotations.coco.json",
    }


def test_coco_pictures_are_looked_for(tmp_path: Path) -> None:
    coco(tmp_path, "annotations/my_train_set.json", "1.jpg", "pictures/train")
    coco(tmp_path, "annotations/my_val_set.json", "1.jpg", "pictures/val")
    assert keys_of(tmp_path) == {
        "train_images": "pictures/train",
        "train_annotations": "annotations/my_train_set.json",
        "val_images": "pictures/val",
        "val_annotations": "annotations/my_val_set.json",
    }
    (tmp_path / "pictures/train/1.jpg").unlink()
    (tmp_path / "pictures/val/1.jpg").unlink()
    with pytest.raises(UserError, match=r"pictures of annotations/my_train_set\.json were not"):
        recognise(tmp_path)


def test_coco_files_without_a_split(tmp_path: Path) -> None:
    coco(tmp_path, "a.json", "1.jpg", "images")
    coco(tmp_path, "b.json", "1.jpg", "images")
    with pytest.raises(UserError, match=r"several COCO files, .*: a\.json, b\.json\. Write"):
        recognise(tmp_path)


def test_voc(tmp_path: Path) -> None:
    write_voc(tmp_path)
    assert keys_of(tmp_path) == {"format": "voc", **DRAWN}
    touch(tmp_path, "ImageSets/Main/trainval.txt")
    listed = {"format": "voc", "train_list": "ImageSets/Main/trainval.txt"}
    assert keys_of(tmp_path) == {**listed, **DRAWN}
    touch(tmp_path, "ImageSets/Main/train.txt", "ImageSets/Main/val.txt")
    assert keys_of(tmp_path) == {"format": "voc"}
    data = config(tmp_path).data
    assert data.val_list == "ImageSets/Main/val.txt"


def test_voc_with_other_names(tmp_path: Path) -> None:
    write_voc(tmp_path)
    (tmp_path / "JPEGImages").rename(tmp_path / "images")
    (tmp_path / "Annotations").rename(tmp_path / "annotations")
    assert keys_of(tmp_path) == {
        "format": "voc",
        "train_images": "images",
        "train_annotations": "annotations",
        **DRAWN,
    }


def test_xml_beside_pictures(tmp_path: Path) -> None:
    draw(tmp_path / "all", ["a"])
    (tmp_path / "all/a.xml").write_text(voc_xml("a"))
    beside = {"format": "voc", "train_images": "."}
    assert keys_of(tmp_path / "all") == {**beside, **DRAWN}
    (tmp_path / "all").rename(tmp_path / "train")
    beside = {"format": "voc", "train_images": "train"}
    assert keys_of(tmp_path) == {**beside, **DRAWN}
    draw(tmp_path / "valid", ["b"])
    (tmp_path / "valid/b.xml").write_text(voc_xml("b"))
    assert keys_of(tmp_path) == {**beside, "val_images": "valid"}


def test_yolo(tmp_path: Path) -> None:
    write_yolo(tmp_path)
    assert keys_of(tmp_path) == {"format": "yolo", **DRAWN}
    with (tmp_path / "data.yaml").open("a") as stream:
        stream.write("val: images/val\n")
    assert keys_of(tmp_path) == {"format": "yolo"}


def test_classes_beside_labels(tmp_path: Path) -> None:
    write_yolo(tmp_path)
    (tmp_path / "data.yaml").unlink()
    with pytest.raises(UserError, match=r"not usable: labels/\*\.txt \(no data\.yaml"):
        recognise(tmp_path)
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    (tmp_path / "notes.json").write_text("{}")
    assert keys_of(tmp_path) == {"format": "yolo", **DRAWN}
    draw(tmp_path / "images/val", ["v"])
    touch(tmp_path, "labels/val/v.txt")
    assert keys_of(tmp_path) == {"format": "yolo"}


def test_nothing_and_too_much(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no such folder"):
        recognise(tmp_path / "gone")
    touch(tmp_path, "a.jpg", "b.txt", "images/a.jpg", "masks/b.png", ".hidden/a.xml")
    with pytest.raises(UserError, match=r"looked for COCO .*VOC .*YOLO .*Cityscapes .*folders of"):
        recognise(tmp_path)
    with pytest.raises(UserError) as caught:
        recognise(tmp_path, "detection")
    assert "Cityscapes" not in str(caught.value)
    write_coco(tmp_path)
    write_voc(tmp_path)
    with pytest.raises(
        UserError, match=r"could be several data sets: COCO .*; VOC .*\(data\.format"
    ):
        recognise(tmp_path)


def test_real_data(shared: Path) -> None:
    assert recognise(shared / "data/coco") == {
        "task": "detection",
        "data": {"root": str(shared / "data/coco")},
    }
    assert recognise(shared / "data/voc/VOC2012") == {
        "task": "segmentation",
        "data": {"root": str(shared / "data/voc/VOC2012")},
    }


def test_coco_pictures_of_names_too_long_for_a_file(tmp_path: Path) -> None:
    coco(tmp_path, "train.json", "1.jpg", "train")
    (tmp_path / "train.json").write_text(COCO_TEXT.replace("NAME", "\\u001b" + "x" * 400))
    with pytest.raises(UserError, match=r"the pictures of train\.json were not found \(\\x1bxxx"):
        recognise(tmp_path)
