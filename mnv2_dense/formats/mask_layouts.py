"""Where data sets with masks have their files."""

from pathlib import Path, PurePosixPath

from mnv2_dense.formats.layout_parts import Section, join, picture_in, split_folders
from mnv2_dense.images import list_files

_IMAGES = ("images", "Images", "image", "imgs", "img", "JPEGImages")
_MASKS = ("masks", "Masks", "mask", "labels", "annotations", "SegmentationClassPNG", "gt")
_LISTS = "ImageSets/Segmentation"
_CITYSCAPES_MASKS = ("_gtFine_labelIds.png", "_gtFine_labelTrainIds.png")


def find_voc_masks(folder: Path) -> Section | None:
    """VOC's layout."""
    if not all((folder / name).is_dir() for name in ("JPEGImages", "SegmentationClass")):
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


def find_folders(folder: Path) -> Section | None:
    """Folders of pictures and of masks with the same names, split inside, outside or not."""
    splits = split_folders(folder)
    for images in _IMAGES:
        for masks in _MASKS:
            inner = split_folders(folder / images)
            whole = {"train": (images, masks)}
            inside = {key: (join(images, name), join(masks, name)) for key, name in inner.items()}
            outside = {key: (join(name, images), join(name, masks)) for key, name in splits.items()}
            for places in (inside, outside, whole):
                if section := _section(folder, places):
                    return section
    return _section(folder, {key: (name, f"{name}annot") for key, name in splits.items()})


def _section(folder: Path, places: dict[str, tuple[str, str]]) -> Section | None:
    """The section of those places where pictures have masks; None if those of `train` do not."""
    found = {key: place for key, place in places.items() if _match(folder, *place)}
    if "train" not in found:
        return None
    usual = {"train": ("images/train", "masks/train"), "val": ("images/val", "masks/val")}
    if found in (usual, {"train": ("images", "masks")}):
        return Section("folders", {}, has_val="val" in found)
    keys: dict[str, object] = {}
    for split, (images, masks) in found.items():
        keys |= {f"{split}_images": images, f"{split}_masks": masks}
    return Section("folders", keys, has_val="val" in found)


def _match(folder: Path, images: str, masks: str) -> bool:
    """Whether the first picture of a folder has a mask of its name in the other."""
    picture = picture_in(folder / images)
    return picture is not None and f"{PurePosixPath(picture).stem}.png" in list_files(
        folder / masks
    )
