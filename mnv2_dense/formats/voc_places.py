"""Where a set in Pascal VOC's layout has its files."""

from collections import defaultdict
from pathlib import Path

from mnv2_dense.errors import UserError
from mnv2_dense.formats.picture_files import is_picture, list_below, stem_of

HOW_TO_GET_VOC = (
    "To get Pascal VOC 2012, run mnv2-dense download_data voc. For data of your own, name the "
    "folders in data.train_images and data.train_annotations, and the list in data.train_list "
    "(null takes all)"
)


def check_present(annotations: Path, images: Path, list_file: Path | None) -> None:
    """Does nothing if all is there.

    Raises:
        UserError: A folder or the list is missing.
    """
    missing = []
    if not annotations.is_dir():
        missing.append(f"annotation folder {annotations}")
    if not images.is_dir():
        missing.append(f"image folder {images}")
    if list_file is not None and not list_file.is_file():
        missing.append(f"list of pictures {list_file}")
    if missing:
        raise UserError(f"not found: {' and '.join(missing)}. {HOW_TO_GET_VOC}")


def find_xml_files(folder: Path) -> dict[str, str]:
    """Names of the XML files by key: the name without its extension.

    Raises:
        UserError: There are none.
    """
    names = [name for name in list_below(folder) if name.lower().endswith(".xml")]
    if not names:
        raise UserError(f"{folder}: no XML files in this folder. {HOW_TO_GET_VOC}")
    return {stem_of(name): name for name in names}


def find_pictures(folder: Path) -> dict[str, list[str]]:
    """Names of the pictures by key: several where they differ in their extensions alone."""
    found: dict[str, list[str]] = defaultdict(list)
    for name in filter(is_picture, list_below(folder)):
        found[stem_of(name)].append(name)
    return dict(found)
