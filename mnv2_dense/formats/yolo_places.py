"""Where a YOLO data set has the pictures of a split, and their labels."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from mnv2_dense.errors import UserError
from mnv2_dense.formats.picture_files import read_list
from mnv2_dense.formats.yolo_yaml import DataYaml
from mnv2_dense.images import find_images, list_files


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
        UserError: Nothing tells of the split, a folder or list is missing, or has no pictures.
    """
    bases, named = [folder], () if images is None else (images,)
    if images is None and data is not None:
        bases = [data.file.parent / data.path, data.file.parent]
        named = tuple(data.places.get(split, ()))
    if not named:
        where = folder if data is None else data.file
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
        found += find_images(place) if place.is_dir() else _listed(place, bases)
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
        name = f"{picture.stem}.txt"
        places.append(Place(picture, Path(folder, name), name in present))
    return places


def _label_folder(parent: str) -> str:
    for name, beside in (("images", "labels"), ("Images", "Labels")):
        before, images, after = f"{parent}/".rpartition(f"/{name}/")
        folder = os.path.normpath(f"{before}/{beside}/{after}")
        if images and Path(folder).is_dir():
            return folder
    return parent


def _resolve(name: str, bases: Sequence[Path], split: str) -> Path:
    tried: dict[Path, None] = {}
    for base in bases:
        for each in (*_variants(name), _variants(name)[0].removeprefix("../")):
            place = _absolute(base / each)
            if place.is_dir() or (place.is_file() and place.suffix.lower() == ".txt"):
                return place
            tried[place] = None
    places = " or ".join(map(str, tried))
    raise UserError(
        f"{split} pictures not found: no folder, or list named .txt, {places}; correct data.yaml, "
        f"or set data.{split}_images"
    )


def _listed(file: Path, bases: Sequence[Path]) -> list[Path]:
    """The pictures of a list, in its order.

    Lines may lead out of the data set, as Darknet's lists of absolute paths do: they are the user's
    own, and nothing but pictures is read there. A line that begins with ./ is relative to the
    list, others are to the data set's `path`, or else to the list.
    """
    found = []
    for line in read_list(file):
        starts = [file.parent] if line.startswith("./") else [*bases, file.parent]
        found.append(first_file(line, starts))
    return found


def first_file(name: str, bases: Sequence[Path]) -> Path:
    """The first of the paths that a name may stand for that is a file, or else the first."""
    paths = [_absolute(base / each) for base in bases for each in _variants(name)]
    return next((path for path in paths if path.is_file()), paths[0])


def _variants(name: str) -> list[str]:
    """With / for Windows' separators, and without CVAT's data/, Darknet's folder of data sets."""
    name = name.replace("\\", "/")
    return [name, *([name.removeprefix("data/")] * name.startswith("data/"))]


def _absolute(path: Path) -> Path:
    """Without ..; links stay, as the folder `images` may be one."""
    return Path(os.path.normpath(path.absolute()))
