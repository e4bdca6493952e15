from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from mnv2_dense.config.segmentation import SegmentationData
from tests.formats.test_recognition import DRAWN, config, keys_of, touch
from tests.formats.three_formats import voc_xml


def test_voc_masks(tmp_path: Path) -> None:
    touch(tmp_path, "JPEGImages/a.jpg", "SegmentationClass/a.png")
    assert keys_of(tmp_path, "segmentation") == DRAWN
    touch(tmp_path, *(f"ImageSets/Segmentation/{name}.txt" for name in ("train", "val")))
    assert keys_of(tmp_path, "segmentation") == {}
    assert config(tmp_path).data.format == "voc"
    (tmp_path / "Annotations").mkdir()
    (tmp_path / "Annotations/a.xml").write_text(voc_xml("a"))
    assert keys_of(tmp_path, "detection") == {"format": "voc", **DRAWN}
    assert keys_of(tmp_path, "segmentation", "segmentation") == {}


def test_cityscapes(tmp_path: Path) -> None:
    touch(tmp_path, "leftImg8bit/train/x/a_leftImg8bit.png")
    touch(tmp_path, "gtFine/train/x/a_gtFine_labelTrainIds.png")
    keys: Mapping[str, Any] = {"format": "cityscapes", "mask_suffix": "_gtFine_labelTrainIds.png"}
    assert keys_of(tmp_path, "segmentation") == {**keys, **DRAWN}
    touch(tmp_path, "gtFine/train/x/a_gtFine_labelIds.png", "gtFine/val/x/b", "leftImg8bit/val/x")
    (tmp_path / "leftImg8bit/val/x").unlink()
    assert keys_of(tmp_path, "segmentation") == {"format": "cityscapes"}


FOLDERS: list[tuple[list[str], Mapping[str, Any]]] = [
    (["images/a.jpg", "masks/a.png"], DRAWN),
    (["images/train/a.jpg", "masks/train/a.png", "images/val/b.jpg", "masks/val/b.png"], {}),
    (["images/train/a.jpg", "masks/train/a.png"], {"train": ("images/train", "masks/train")}),
    (["images/a.png", "labels/a.png"], {"train": ("images", "labels")}),
    (["Images/a.bmp", "annotations/a.png"], {"train": ("Images", "annotations")}),
    (
        ["train/images/a.jpg", "train/mask/a.png", "valid/images/b.jpg", "valid/mask/b.png"],
        {"train": ("train/images", "train/mask"), "val": ("valid/images", "valid/mask")},
    ),
    (
        ["train/a.png", "trainannot/a.png", "val/b.png", "valannot/b.png", "test/c.png"],
        {"train": ("train", "trainannot"), "val": ("val", "valannot")},
    ),
    (
        [
            *("images/training/a.jpg", "annotations/training/a.png"),
            *("images/validation/b.jpg", "annotations/validation/b.png"),
        ],
        {
            "train": ("images/training", "annotations/training"),
            "val": ("images/validation", "annotations/validation"),
        },
    ),
    (["Images/a.jpg", "Labels/a.png"], {"train": ("Images", "Labels")}),
    (
        ["IMAGES/a.jpg", "MASKS/a.PNG"],
        {"train": ("IMAGES", "MASKS"), "more": {"mask_suffix": ".PNG"}},
    ),
    (
        ["JPEGImages/a.jpg", "SegmentationClassPNG/a.png"],
        {"train": ("JPEGImages", "SegmentationClassPNG")},
    ),
]


@pytest.mark.parametrize(("names", "expected"), FOLDERS)
def test_folders_of_masks(tmp_path: Path, names: list[str], expected: Mapping[str, Any]) -> None:
    touch(tmp_path, *names)
    usual = not expected.get("train") or names[0].startswith("JPEGImages")
    keys: dict[str, Any] = {"format": "folders"} if usual else {}
    for split, place in expected.items():
        if split in ("train", "val"):
            keys |= {f"{split}_images": place[0], f"{split}_masks": place[1]}
    keys |= expected.get("more", {})
    if "val" not in expected and expected:
        keys |= DRAWN
    assert keys_of(tmp_path, "segmentation") == keys
    assert len(keys) < 5  # and root
    data = config(tmp_path).data
    assert isinstance(data, SegmentationData)
    assert data.train_list is data.val_list is None


def test_camvid_and_roboflow(tmp_path: Path) -> None:
    camvid, roboflow = tmp_path / "camvid", tmp_path / "roboflow"
    touch(camvid, "train/a.png", "train_labels/a_L.png")
    touch(roboflow, "train/a_jpg.rf.1.jpg", "train/a_jpg.rf.1_mask.png")
    assert keys_of(camvid, "segmentation") == {"format": "camvid", **DRAWN}
    assert keys_of(roboflow, "segmentation") == {"format": "roboflow", **DRAWN}
    touch(camvid, "val/a.png", "val_labels/a_L.png")
    touch(roboflow, "valid/a.jpg", "valid/a_mask.png")
    assert keys_of(camvid, "segmentation") == {"format": "camvid"}
    assert keys_of(roboflow, "segmentation") == {"format": "roboflow"}


def test_labelmes_older_folders(tmp_path: Path) -> None:
    touch(tmp_path, "JPEGImages/a.jpg", "SegmentationClass/a.npy", "SegmentationClassPNG/a.png")
    assert keys_of(tmp_path, "segmentation") == {
        "format": "folders",
        "train_images": "JPEGImages",
        "train_masks": "SegmentationClassPNG",
        **DRAWN,
    }


def test_one_mask_is_enough(tmp_path: Path) -> None:
    """The reader names the pictures without masks."""
    touch(tmp_path, "images/a.jpg", "images/b.jpg", "masks/b.png")
    assert keys_of(tmp_path, "segmentation") == {"format": "folders", **DRAWN}
