"""Where data sets with boxes have their files: COCO's, VOC's and YOLO's layouts."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from mnv2_dense.errors import UserError
from mnv2_dense.formats.coco_peek import json_files, peek
from mnv2_dense.formats.layout_parts import (
    Section,
    join,
    pictures_in,
    split_folders,
    split_of,
    subfolders,
)
from mnv2_dense.formats.yolo_names import find_names, read_names
from mnv2_dense.image_files import list_files
from mnv2_dense.quoting import quote
from mnv2_dense.small_files import is_file

_COCO_2017 = ("annotations/instances_{0}2017.json", "{0}2017")
_VOC_ANNOTATIONS = ("Annotations", "annotations", "labels", "xml", "")
_VOC_IMAGES = ("JPEGImages", "images", "Images", "imgs", "")


def find_coco(folder: Path) -> Section | None:
    """COCO 2017's layout, or instances files anywhere in the folder or one below it.

    Raises:
        UserError: There are several files, and their names do not say which to train on.
    """
    if all(
        (folder / place.format(split)).exists()
        for place in _COCO_2017
        for split in ("train", "val")
    ):
        return Section("coco", {}, has_val=True)
    found = dict(_instances_files(folder))
    if len(found) == 1:
        of_split = {"train": list(found)}
    else:
        splits = ("train", "val")
        of_split = {each: [name for name in found if split_of(name) == each] for each in splits}
    if not found:
        return None
    if len(of_split["train"]) != 1 or len(of_split.get("val", "")) > 1:
        raise UserError(
            f"{folder}: several COCO files, and not one each named for train and val: "
            f"{', '.join(found)}. Write a config with data.train_annotations and data.train_images"
        )
    keys: dict[str, object] = {}
    for split, names in of_split.items():
        for name in names:
            keys |= {f"{split}_images": found[name], f"{split}_annotations": name}
    if keys == {"train_images": "images", "train_annotations": "annotations.json"}:
        keys = {}
    return Section("coco", keys, has_val=bool(of_split.get("val")))


def find_voc(folder: Path) -> Section | None:
    """VOC's layout, or XML files beside pictures or in a folder beside theirs."""
    place = _voc_place(folder, "")
    if place is not None:
        return _voc_lists(folder, *place)
    places = {
        split: found
        for split, name in split_folders(folder).items()
        if (found := _voc_place(folder, name)) is not None
    }
    if "train" not in places:
        return None
    keys: dict[str, object] = {}
    for split, (annotations, images) in places.items():
        keys |= _voc_keys(split, annotations, images)
    return Section("voc", keys, has_val="val" in places)


def find_yolo(folder: Path) -> Section | None:
    """A data.yaml, or another YAML file with names; obj.data, or classes.txt beside labels.

    Raises:
        UserError: There are several, or it cannot be used.
    """
    file = find_names(folder)
    if file is None:
        return None
    return Section("yolo", {}, has_val="val" in read_names(file, folder).places)


def _instances_files(folder: Path) -> Iterator[tuple[str, str]]:
    """Instances files and the folders of their pictures, both relative to the folder."""
    files = {name: peek(folder / name) for name in json_files(folder)}
    coco = [name for name in files if files[name].lacks is None]
    for name in coco:
        yield name, _picture_folder(folder, name, files[name].pictures)
    empty = [name for name in files if split_of(name) and not (folder / name).stat().st_size]
    if coco and empty:
        raise UserError(f"{folder / empty[0]}: empty file, beside {coco[0]}")


def _picture_folder(folder: Path, file: str, pictures: Sequence[str]) -> str:
    """The folder of any of the pictures, those first that the file's place and name speak for."""
    parent, _, name = file.rpartition("/")
    split = split_of(file)
    nested = [join(each, deep) for each in subfolders(folder) for deep in subfolders(folder / each)]
    others = [*subfolders(folder), *nested]
    near = [each for each in others if split is not None and split_of(each) == split]
    for each in (parent, join(parent, "images"), name.removesuffix(".json"), *near, "", *others):
        if any(is_file(folder / each / picture) for picture in pictures):
            return each or "."
    raise UserError(
        f"{folder}: the pictures of {file} were not found ({quote(pictures[0])} in no folder "
        "here). Write a config with data.train_images"
    )


def _voc_place(folder: Path, below: str) -> tuple[str, str] | None:
    """The folders of XML files and of pictures, relative to the folder."""
    for annotations in _VOC_ANNOTATIONS:
        files = list_files(folder / below / annotations)
        if any(name.lower().endswith(".xml") for name in files):
            for images in dict.fromkeys((*_VOC_IMAGES, annotations)):
                if pictures_in(folder / below / images):
                    return join(below, annotations), join(below, images)
    return None


def _voc_keys(split: str, annotations: str, images: str) -> dict[str, object]:
    beside = annotations == images
    keys: dict[str, object] = {f"{split}_images": images}
    return keys if beside else {**keys, f"{split}_annotations": annotations}


def _voc_lists(folder: Path, annotations: str, images: str) -> Section:
    """The section with the lists of ImageSets/Main, where they are."""
    lists = list_files(folder / "ImageSets" / "Main")
    both = {"train.txt", "val.txt"} <= lists
    keys: dict[str, object] = {}
    usual = (annotations, images) == ("Annotations", "JPEGImages")
    for split in () if usual else ("train", "val") if both else ("train",):
        listed = {f"{split}_list": f"ImageSets/Main/{split}.txt"} if both else {}
        keys |= _voc_keys(split, annotations, images) | listed
    one = next((name for name in ("trainval.txt", "train.txt") if name in lists), None)
    if not both and one is not None:
        keys["train_list"] = f"ImageSets/Main/{one}"
    return Section("voc", keys, has_val=both)
