"""What a YOLO data set says of itself: data.yaml, or the files of tools that write none."""

from pathlib import Path

from mnv2_dense.errors import UserError
from mnv2_dense.formats.class_names import check_class_names
from mnv2_dense.formats.layout_parts import join, pictures_in, split_folders
from mnv2_dense.formats.picture_files import read_list
from mnv2_dense.formats.yolo_places import find_labels, first_file, lies_in
from mnv2_dense.formats.yolo_yaml import SUFFIXES, DataYaml, find_yaml, read_yaml
from mnv2_dense.image_files import list_files
from mnv2_dense.ops.texts import list_first
from mnv2_dense.quoting import quote
from mnv2_dense.small_files import is_file

_CLASSES = "classes.txt"
_CLASSES_FOLDERS = ("", "labels", "images", "train", "train/labels")


def find_names(root: Path) -> Path | None:
    """A data.yaml, Darknet's obj.data, or a classes.txt of labelImg or Label Studio.

    Raises:
        UserError: There are several that could be it.
    """
    if (file := find_yaml(root)) is not None:
        return file
    data = sorted(name for name in list_files(root) if name.endswith(".data"))
    if len(data) > 1:
        raise UserError(f"{root}: several files could be its obj.data ({list_first(data)})")
    if data:
        return root / data[0]
    if not _picture_folders(root):
        return None
    found = (root / folder / _CLASSES for folder in _CLASSES_FOLDERS)
    return next((path for path in found if is_file(path)), None)


def read_names(file: Path, root: Path) -> DataYaml:
    """The classes, and where pictures are, of a file that `find_names` found in `root`.

    Raises:
        UserError: It cannot be read, or has no names.
    """
    if file.suffix.lower() in SUFFIXES:
        return read_yaml(file)
    if file.suffix.lower() == ".data":
        return _read_darknet(file)
    places = {split: [place] for split, place in _picture_folders(root).items()}
    return DataYaml(file, _read_classes(file), places, str(root.absolute()))


def _read_darknet(file: Path) -> DataYaml:
    lines = (line.partition("=") for line in read_list(file))
    content = {key.strip(): value.strip() for key, _, value in lines}
    if not content.get("names"):
        raise UserError(f"{file}: does not name the file of the classes (names = obj.names)")
    listed = first_file(content["names"], [file.parent])
    if not (lies_in(listed, [file.parent]) and is_file(listed)):
        raise UserError(
            f"{file}: names = {quote(content['names'])} is no file below its folder; put the file "
            "of the classes beside it"
        )
    names = _read_classes(listed)
    if content.get("classes", str(len(names))) != str(len(names)):
        given = quote(content["classes"])
        raise UserError(f"{file}: classes = {given}, but there are {len(names)} names")
    places = {"train": content.get("train"), "val": content.get("valid")}
    return DataYaml(file, names, {key: [each] for key, each in places.items() if each}, "")


def _read_classes(file: Path) -> tuple[str, ...]:
    names = tuple(read_list(file))
    check_class_names(names, file)
    return names


def _picture_folders(root: Path) -> dict[str, str]:
    """Folders of pictures with labels: split inside images/, outside of it, or not."""
    outside = split_folders(root)
    inside = split_folders(root / "images")
    layouts: tuple[dict[str, str], ...] = (
        {split: join("images", name) for split, name in inside.items()},
        {split: join(name, "images") for split, name in outside.items()},
        outside,
        {"train": "images"},
        {"train": "Images"},
        {"train": "."},
    )
    for places in layouts:
        found = {split: place for split, place in places.items() if _labelled(root / place)}
        if "train" in found:
            return found
    return {}


def _labelled(folder: Path) -> bool:
    """Whether any picture directly in a folder has labels."""
    pictures = [folder.absolute() / name for name in pictures_in(folder)]
    return any(place.labelled for place in find_labels(pictures))
