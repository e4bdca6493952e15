"""Where a YOLO data set has the pictures of a split, and their labels."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from mnv2_dense.errors import UserError
from mnv2_dense.formats.picture_files import is_picture, read_list
from mnv2_dense.formats.yolo_yaml import DataYaml
from mnv2_dense.image_files import find_images, list_files
from mnv2_dense.ops.texts import list_first
from mnv2_dense.quoting import LONGEST_PATH, quote
from mnv2_dense.small_files import is_file, is_folder


class Place(NamedTuple):
    """A picture, where its labels would be, and whether they are there."""

    picture: Path
    labels: Path
    labelled: bool


def find_pictures(
    folder: Path, split: str, images: str | None, data: DataYaml | None
) -> list[Path]:
    """Absolute paths of a split's pictures, perhaps missing or named twice.

    Args:
        folder: The data set's.
        split: `train` or `val`.
        images: Folder or list of the pictures, below `folder`; None asks `data`.
        data: Its data.yaml, if there is one. Its `path` is relative to it; where there is nothing
            (it may name another machine's folder), its own folder is taken. As in Ultralytics, a
            leading ../ is left out where nothing is found with it.

    Raises:
        UserError: Nothing tells of the split, a folder or list is missing, has no pictures, or
            `data` names a folder above the data set's: all of a disk, perhaps.
    """
    bases, named = [folder], () if images is None else (images,)
    if images is None and data is not None:
        bases = [data.file.parent / data.path, data.file.parent]
        named = tuple(data.places.get(split, ()))
    where = folder if data is None else data.file
    if not named:
        raise UserError(
            f"{where}: does not say where the {split} pictures are; set data.{split}_images"
            + (
                ", or data.val_share, which draws them from the training pictures"
                * (split == "val")
            )
        )
    found: list[Path] = []
    for name in named:
        place = _resolve(name, bases, split)
        if images is None and place.resolve() in folder.resolve().parents:
            raise UserError(
                f"{where}: the {split} pictures' folder {quote(name, LONGEST_PATH)} is {place}, "
                "above the data set's own; name a folder of pictures in it, or set "
                f"data.{split}_images"
            )
        found += find_images(place) if is_folder(place) else _listed(place, bases)
    return found


def find_labels(pictures: Sequence[Path]) -> list[Place]:
    """The label file of every picture.

    As in Ultralytics, the last folder `images` of its path becomes `labels`; where there is no such
    folder, labels lie beside the pictures.
    """
    labels_of: dict[str, tuple[str, set[str]]] = {}
    places: list[Place] = []
    for picture in pictures:
        parent = str(picture.parent)
        if parent not in labels_of:
            folder = _label_folder(parent)
            labels_of[parent] = folder, list_files(Path(folder))
        folder, present = labels_of[parent]
        labels = Path(folder, f"{picture.stem}.txt")
        # What is there and no file is refused when it is read: it is not a picture without boxes.
        places.append(Place(picture, labels, labels.name in present or os.path.lexists(labels)))
    return places


def _label_folder(parent: str) -> str:
    for name, beside in (("images", "labels"), ("Images", "Labels")):
        before, images, after = f"{parent}/".rpartition(f"/{name}/")
        folder = os.path.normpath(f"{before}/{beside}/{after}")
        if images and is_folder(Path(folder)):
            return folder
    return parent


def _resolve(name: str, bases: Sequence[Path], split: str) -> Path:
    tried: dict[Path, None] = {}
    for base in bases:
        for each in (*_variants(name), _variants(name)[0].removeprefix("../")):
            place = _absolute(base / each)
            if is_folder(place) or (is_file(place) and place.suffix.lower() == ".txt"):
                return place
            tried[place] = None
    places = " or ".join(quote(str(each), LONGEST_PATH) for each in tried)
    raise UserError(
        f"{split} pictures not found: no folder, or list named .txt, {places}; correct data.yaml, "
        f"or set data.{split}_images"
    )


def _listed(file: Path, bases: Sequence[Path]) -> list[Path]:
    """The pictures of a list, in its order.

    Lines may be absolute, as Darknet's are, if they are named as pictures; what is none is found
    when its size is read. Others stay in the folder of the list, the data set's or its `path`: a
    list from a stranger may name anything. A line that begins with ./ is relative to the list,
    others are to the data set's `path`, or else to the list.
    """
    found: list[Path] = []
    outside: list[Path] = []
    for line in read_list(file):
        starts = [file.parent] if line.startswith("./") else [*bases, file.parent]
        picture = first_file(line, starts)
        inside = lies_in(picture, [*bases, file.parent])
        (found if inside or _names_picture(line) else outside).append(picture)
    if outside:
        listed = list_first([quote(str(path), LONGEST_PATH) for path in outside])
        raise UserError(
            f"{file}: pictures outside of the data set's folder: {listed}. If they are yours, name "
            "a folder that holds them all as `path` in data.yaml, or as data.root"
        )
    return found


def _names_picture(line: str) -> bool:
    """Whether it is an absolute path, without .., of what is named as a picture."""
    path = Path(line.replace("\\", "/"))
    return path.is_absolute() and ".." not in path.parts and is_picture(path.name)


def lies_in(path: Path, folders: Sequence[Path]) -> bool:
    """Whether an absolute path leads to a place below one of some folders."""
    return any(path.is_relative_to(_absolute(folder)) for folder in folders)


def first_file(name: str, bases: Sequence[Path]) -> Path:
    """The first of the paths that a name may stand for that is a file, or else the first."""
    paths = [_absolute(base / each) for base in bases for each in _variants(name)]
    return next((path for path in paths if is_file(path)), paths[0])


def _variants(name: str) -> list[str]:
    """With / for Windows' separators, and without CVAT's data/, Darknet's folder of data sets."""
    name = name.replace("\\", "/")
    return [name, *([name.removeprefix("data/")] * name.startswith("data/"))]


def _absolute(path: Path) -> Path:
    """Without .. and //; links stay, as the folder `images` may be one."""
    plain = os.path.normpath(path.absolute())
    return Path(f"/{plain.lstrip('/')}" if plain.startswith("//") else plain)
