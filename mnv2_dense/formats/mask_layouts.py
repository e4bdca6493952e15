"""Where data sets with masks have their files."""

from collections.abc import Iterable
from pathlib import Path

from mnv2_dense.formats.layout_parts import (
    Section,
    join,
    named_folders,
    pictures_in,
    split_folders,
)
from mnv2_dense.formats.picture_files import stem_of
from mnv2_dense.image_files import list_files

IMAGES = ("images", "image", "imgs", "img", "jpegimages")
"""Folders of pictures, in lower case."""
MASKS = ("masks", "mask", "labels", "annotations", "segmentationclasspng", "gt")
"""Folders of masks, in lower case."""
_LISTS = "ImageSets/Segmentation"
_CITYSCAPES_MASKS = ("_gtFine_labelIds.png", "_gtFine_labelTrainIds.png")


def find_voc_masks(folder: Path) -> Section | None:
    """VOC's layout.

    Where SegmentationClass/ has no pictures, labelme's SegmentationClassPNG/ may have the masks.
    """
    if not all((folder / name).is_dir() for name in ("JPEGImages", "SegmentationClass")):
        return None
    if not _masks(folder, "SegmentationClass") and _masks(folder, "SegmentationClassPNG"):
        return None
    lists = list_files(folder / _LISTS)
    if {"train.txt", "val.txt"} <= lists:
        return Section("voc", {}, has_val=True)
    listed = next((name for name in ("trainval.txt", "train.txt") if name in lists), None)
    keys = {} if listed is None else {"train_list": f"{_LISTS}/{listed}"}
    return Section("voc", keys, has_val=False)


def find_cityscapes(folder: Path) -> Section | None:
    """Cityscapes' layout."""
    pictures, masks = (split_folders(folder / name) for name in ("leftImg8bit", "gtFine"))
    if "train" not in pictures or "train" not in masks:
        return None
    ends = [end for end in _CITYSCAPES_MASKS if any((folder / "gtFine").glob(f"train/*/*{end}"))]
    keys = {} if not ends or _CITYSCAPES_MASKS[0] in ends else {"mask_suffix": ends[0]}
    return Section("cityscapes", keys, has_val="val" in pictures and "val" in masks)


def find_camvid(folder: Path) -> Section | None:
    """CamVid's layout."""
    if not _suffix(folder, "train", "train_labels", ["_L.png"]):
        return None
    return Section("camvid", {}, bool(_suffix(folder, "val", "val_labels", ["_L.png"])))


def find_roboflow(folder: Path) -> Section | None:
    """Roboflow's masks beside the pictures."""
    if not _suffix(folder, "train", "train", ["_mask.png"]):
        return None
    return Section("roboflow", {}, bool(_suffix(folder, "valid", "valid", ["_mask.png"])))


def find_folders(folder: Path) -> Section | None:
    """Folders of pictures and of masks with the same names, split inside, outside or not."""
    splits = split_folders(folder)
    for parent in ("", *splits.values()):
        for images in named_folders(folder / parent, IMAGES):
            for masks in named_folders(folder / parent, MASKS):
                if section := _beside(folder, splits, images, masks):
                    return section
    return _section(folder, {key: (name, f"{name}annot") for key, name in splits.items()})


def _beside(folder: Path, splits: dict[str, str], images: str, masks: str) -> Section | None:
    inner = split_folders(folder / images)
    inside = {key: (join(images, name), join(masks, name)) for key, name in inner.items()}
    outside = {key: (join(name, images), join(name, masks)) for key, name in splits.items()}
    places = (inside, outside, {"train": (images, masks)})
    return next(filter(None, (_section(folder, each) for each in places)), None)


def _section(folder: Path, places: dict[str, tuple[str, str]]) -> Section | None:
    """The section of those places where pictures have masks; None if those of `train` do not."""
    ends = {key: _suffix(folder, *place, [".png", ".PNG"]) for key, place in places.items()}
    found = {key: place for key, place in places.items() if ends[key]}
    if "train" not in found:
        return None
    suffix = {} if ends["train"] == ".png" else {"mask_suffix": ends["train"]}
    usual = {"train": ("images/train", "masks/train"), "val": ("images/val", "masks/val")}
    if found in (usual, {"train": ("images", "masks")}):
        return Section("folders", suffix, has_val="val" in found)
    keys: dict[str, object] = {}
    for split, (images, masks) in found.items():
        keys |= {f"{split}_images": images, f"{split}_masks": masks}
    # Other pictures than VOC's have no list, so that the default says the same a line shorter.
    form = "folders" if found["train"][0] == "JPEGImages" else "voc"
    return Section(form, keys | suffix, has_val="val" in found)


def _suffix(folder: Path, images: str, masks: str, ends: Iterable[str]) -> str | None:
    """The first end of file names by which any picture has a mask.

    One is enough: the reader names all pictures without masks.
    """
    keys = {stem_of(name) for name in pictures_in(folder / images)}
    names = list_files(folder / masks) if keys else set()
    return next((end for end in ends if any(key + end in names for key in keys)), None)


def _masks(folder: Path, name: str) -> bool:
    return any(each.lower().endswith(".png") for each in list_files(folder / name))
