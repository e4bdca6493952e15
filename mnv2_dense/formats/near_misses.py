"""Why what lies in a folder was taken for no data set."""

from pathlib import Path

from mnv2_dense.formats.coco_peek import json_files, peek
from mnv2_dense.formats.layout_parts import named_folders, pictures_in, split_folders
from mnv2_dense.formats.mask_layouts import IMAGES, MASKS
from mnv2_dense.image_files import list_files

_SHOWN = 5


def near_misses(folder: Path) -> str:
    """A sentence on files that belong to data sets, and what is missing; empty without such."""
    found = [*_jsons(folder), *_masks(folder), *_yolo(folder), *_xml(folder)]
    more = f", and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return f"Found, but not usable: {'; '.join(found[:_SHOWN])}{more}. " if found else ""


def _jsons(folder: Path) -> list[str]:
    return [f"{name} ({lacks})" for name in json_files(folder) if (lacks := peek(folder / name)[1])]


def _masks(folder: Path) -> list[str]:
    """Folders of pictures and of masks; no mask has a picture's name, else they were taken."""
    pairs = (
        (images, masks)
        for images in named_folders(folder, IMAGES)
        for masks in named_folders(folder, MASKS)
    )
    return [
        f"{images}/ and {masks}/ (no picture has a mask of its name and .png: "
        f"{pictures[0]}, {labels[0]}; data.image_suffix and data.mask_suffix can tell the ends)"
        for images, masks in pairs
        if (pictures := pictures_in(folder / images)) and (labels := pictures_in(folder / masks))
    ]


def _yolo(folder: Path) -> list[str]:
    """YOLO's labels without names, or names without labels."""
    files = list_files(folder)
    if "classes.txt" in files:
        return ["classes.txt (no picture in images/ has a .txt in labels/, nor one beside it)"]
    labels = folder / "labels"
    places = (labels, *(labels / name for name in split_folders(labels).values()))
    if any(name.endswith(".txt") for place in places for name in list_files(place)):
        return ["labels/*.txt (no data.yaml, and no classes.txt with the names of the classes)"]
    return []


def _xml(folder: Path) -> list[str]:
    places = ("", *named_folders(folder, ("annotations", "labels", "xml")))
    return [
        f"{place or folder.name}/*.xml (no pictures in JPEGImages/, images/ or beside them)"
        for place in places
        if any(name.lower().endswith(".xml") for name in list_files(folder / place))
    ]
