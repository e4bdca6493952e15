"""Reads Pascal VOC's XML files."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from mnv2_dense.errors import UserError
from mnv2_dense.formats.box_set import BoxSet, Record
from mnv2_dense.formats.picture_files import link_problems, read_sizes
from mnv2_dense.formats.problems import Level, Problem, errors_at
from mnv2_dense.formats.split import Choice
from mnv2_dense.formats.voc_list import read_keys
from mnv2_dense.formats.voc_places import (
    HOW_TO_GET_VOC,
    check_present,
    find_pictures,
    find_xml_files,
)
from mnv2_dense.formats.voc_xml import VocFile, read_folder
from mnv2_dense.quoting import quote
from mnv2_dense.structures import Category


class _Entry(NamedTuple):
    xml: str
    picture: str
    content: VocFile


def read_voc(
    annotations: Path,
    images: Path,
    list_file: Path | None,
    names: Sequence[str],
    *,
    upright: bool = False,
    choose: Choice | None = None,
) -> BoxSet:
    """The pictures and boxes of a folder of XML files.

    The picture of `a/7.xml` is `a/7` with the extension of a picture, whatever `<filename>` says.
    Negatives have an XML file without objects; a picture without an XML file is a problem, and left
    out. Where `<size>` is missing or 0, the header of the picture is read.

    Args:
        annotations: Folder of the XML files, searched at every depth.
        images: Folder of the pictures, with the same folders in it.
        list_file: A text file with a picture per line, without its extension or with it
            (ImageSets/Main/train.txt), in the order wanted. None takes every XML file, sorted.
        names: The classes; objects of others are left out. Category ids count them from 1.
        upright: Whether boxes were drawn on pictures as EXIF turns them.
        choose: Which of the pictures are read; None reads all.

    Returns:
        All that can be used; what cannot stands in its `problems`. Ids count from 1.

    Raises:
        UserError: A folder or the list is missing, there are no XML files, or the list cannot be
            read, is empty, or is one of a single class.
    """
    check_present(annotations, images, list_file)
    xml_files = find_xml_files(annotations)
    pictures = find_pictures(images)
    problems: list[Problem] = []
    if list_file is None:
        keys = sorted(xml_files)
        bare = [name for key in sorted(pictures.keys() - xml_files) for name in pictures[key]]
        title = f"{images}: pictures without an XML file in {annotations}, left out:"
        problems += errors_at("unannotated_picture", title, bare, level=Level.PROBLEM)
    else:
        keys = read_keys(list_file, xml_files, problems)
        bare = [f"{quote(key)}.xml" for key in keys if key not in xml_files]
        title = f"{annotations}: XML files of pictures named in {list_file} are missing:"
        problems += errors_at("missing_annotation", title, bare)
    lost = [key for key in keys if key in xml_files and key not in pictures]
    title = f"{images}: pictures of XML files in {annotations} are missing:"
    problems += errors_at("missing_picture", title, lost, f". {HOW_TO_GET_VOC}")
    keys = [key for key in keys if key in xml_files and key in pictures]
    if choose is not None:
        keys = [keys[position] for position in choose([pictures[key][0] for key in keys])]
    contents = read_folder(annotations, {key: xml_files[key] for key in keys}, problems)
    entries = _with_pictures(annotations, images, contents, xml_files, pictures, problems)
    records, entries = _image_records(annotations, images, entries, upright, problems)
    problems += link_problems(images, [record["file_name"] for record in records])
    boxes = _annotations(annotations, entries, names, problems)
    categories = tuple(Category(number, name) for number, name in enumerate(names, start=1))
    return BoxSet(annotations, images, records, categories, boxes, problems, "objects")


def class_names(folders: Iterable[Path]) -> tuple[str, ...]:
    """Names of the classes in all XML files of some folders, sorted.

    Files that cannot be read are passed over: `read_voc` reports them.

    Raises:
        UserError: A folder is missing or has no XML files, or there is no object in any.
    """
    folders = list(folders)
    missing = [str(folder) for folder in folders if not folder.is_dir()]
    if missing:
        raise UserError(f"not found: annotation folder {' and '.join(missing)}. {HOW_TO_GET_VOC}")
    found: set[str] = set()
    for folder in folders:
        contents = read_folder(folder, find_xml_files(folder), [])
        found.update(each.name for content in contents.values() for each in content.objects)
    if not found:
        places = " and ".join(map(str, folders))
        raise UserError(f"{places}: no objects in the XML files, so no classes; set data.classes")
    return tuple(sorted(found))


def _with_pictures(
    annotations: Path,
    images: Path,
    contents: Mapping[str, VocFile],
    xml_files: Mapping[str, str],
    pictures: Mapping[str, list[str]],
    problems: list[Problem],
) -> list[_Entry]:
    """Those of the files that have one picture; every one has some."""
    several: list[str] = []
    renamed: list[str] = []
    entries: list[_Entry] = []
    for key, content in contents.items():
        found = pictures[key]
        same = [name for name in found if name.rpartition("/")[2] == content.filename]
        if len(found) > 1 and not same:
            several.append(" and ".join(found))
        else:
            entries.append(_Entry(xml_files[key], (same or found)[0], content))
            if content.filename and not same:
                renamed.append(f"{xml_files[key]} ({quote(content.filename)!r})")
    title = f"{images}: several pictures of one name:"
    problems += errors_at("ambiguous_picture", title, several)
    title = f"{annotations}: <filename> is not the picture's name; taken by the XML file's name:"
    problems += errors_at("other_filename", title, renamed, level=Level.NOTE)
    return entries


def _image_records(
    annotations: Path,
    images: Path,
    entries: list[_Entry],
    upright: bool,
    problems: list[Problem],
) -> tuple[list[Record], list[_Entry]]:
    """Records of the pictures whose size is known, and their files."""
    unsized = [entry for entry in entries if entry.content.size is None]
    title = f"{annotations}: no usable <size>; taken from the picture:"
    places = [entry.xml for entry in unsized]
    problems += errors_at("no_size", title, places, level=Level.NOTE)
    files = [images / entry.picture for entry in unsized]
    read, unreadable = read_sizes(files, upright=upright)
    problems += unreadable
    sizes = dict(zip(places, read, strict=True))
    records: list[Record] = []
    usable: list[_Entry] = []
    for entry in entries:
        size = entry.content.size or sizes[entry.xml]
        if size is not None:
            usable.append(entry)
            sides = {"width": size.width, "height": size.height}
            records.append({"id": len(usable), "file_name": entry.picture, **sides})
    return records, usable


def _annotations(
    folder: Path, entries: list[_Entry], names: Sequence[str], problems: list[Problem]
) -> list[Record]:
    """Records of the objects of known classes; picture i has id i + 1."""
    numbers = {name: number for number, name in enumerate(names, start=1)}
    records: list[Record] = []
    mistakes: list[str] = []
    unknown: list[str] = []
    for image_id, entry in enumerate(entries, start=1):
        mistakes += [
            f"{entry.xml} object {number} ({why})" for number, why in entry.content.mistakes
        ]
        for each in entry.content.objects:
            place = f"{entry.xml} object {each.number}"
            if each.name not in numbers:
                unknown.append(f"{place} ({each.name})")
                continue
            number = {"category_id": numbers[each.name], "bbox": each.bbox, "iscrowd": 0}
            ids = {"id": len(records) + 1, "image_id": image_id, "place": place}
            records.append({**ids, **number, **each.extras})
    problems += errors_at("bad_object", f"{folder}: objects that cannot be used:", mistakes)
    title = f"{folder}: objects of classes that data.classes lacks, left out:"
    problems += errors_at("unknown_class", title, unknown, level=Level.PROBLEM)
    return records
