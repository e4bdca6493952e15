"""What all writers of data sets share: names that readers find, and what is said."""

import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from mnv2_dense.errors import UserError
from mnv2_dense.formats.box_set import BoxSet, Record
from mnv2_dense.formats.class_names import NO_TEXT
from mnv2_dense.formats.picture_files import is_picture
from mnv2_dense.images import open_image
from mnv2_dense.ops.texts import list_first

Splits = Mapping[str, BoxSet]
"""A whole data set: `train` and `val`, or one of them."""

_NO_KEY = re.compile(rf"[\\:]|{NO_TEXT.pattern}")
"""Besides, what other systems take for a path."""
_OF_IMAGES = ("id", "file_name", "width", "height")
_OF_ANNOTATIONS = ("id", "image_id", "category_id", "bbox", "place")


class Written(NamedTuple):
    """What a writer made of a data set, but for the pictures, which are still to be copied.

    Attributes:
        data: The data section of a config that reads it.
        pictures: Each picture's file, and where it belongs.
        lost: What the format cannot hold, or holds in another way, a line each.
    """

    data: dict[str, object]
    pictures: list[tuple[Path, Path]]
    lost: list[str]


def finite(annotations: Iterable[Record]) -> list[Record]:
    """The annotations whose boxes are four finite numbers: no format can write the others."""
    return [entry for entry in annotations if all(map(math.isfinite, entry["bbox"]))]


def describe_lost(splits: Splits, reasons: Mapping[str, str]) -> list[str]:
    """A line for each key that annotations have and the format cannot hold.

    Args:
        splits: What is written.
        reasons: By key, what becomes of it; `{}` stands for how many there are.
    """
    entries = [entry for boxes in splits.values() for entry in boxes.annotations]
    counts = {key: sum(bool(entry.get(key)) for entry in entries) for key in reasons}
    lost = [text.format(counts[key]) for key, text in reasons.items() if counts[key]]
    odd = len(entries) - len(finite(entries))
    return [*lost, *([f"{odd} boxes that are not finite: left out"] if odd else [])]


def describe_ids(splits: Splits) -> list[str]:
    """A line on ids, where the data set has ids of its own."""
    if not have_ids(splits):
        return []
    return ["ids of images, annotations and categories: there are file and class names instead"]


def have_ids(splits: Splits) -> bool:
    """Whether the ids are the data set's own, not those that a reader gave."""
    return not any("place" in entry for boxes in splits.values() for entry in boxes.annotations)


def describe_fields(splits: Splits, held: Collection[str]) -> list[str]:
    """A line for each kind of record that has fields of its own, which only COCO's files hold.

    Args:
        splits: What is written.
        held: Fields of annotations that are written, or told of elsewhere.
    """
    fields: dict[str, dict[str, None]] = {}
    for boxes in splits.values():
        for kind, records, known in (
            ("the file", [boxes.extras], ()),
            ("images", boxes.images, _OF_IMAGES),
            ("annotations", boxes.annotations, (*_OF_ANNOTATIONS, *held)),
            ("categories", boxes.category_extras.values(), ()),
        ):
            keys = (key for each in records for key in each if key not in known and each[key])
            fields.setdefault(kind, {}).update(dict.fromkeys(keys))
    return [
        f"fields of {kind} that are not kept: {list_first([*keys])}"
        for kind, keys in fields.items()
        if keys
    ]


def describe_renamed(names: Iterable[tuple[str, str]], why: str) -> list[str]:
    """A line on pictures whose file names changed.

    Args:
        names: Of every picture the name before and the name written.
        why: What the format asks of names.
    """
    changed = [f"{old!r} is {new!r}" for old, new in names if old != new]
    return [f"names of {len(changed)} pictures, as {why}: {list_first(changed)}"] if changed else []


def check_class_names(splits: Splits) -> None:
    """Refuses names that are no text of one line.

    Raises:
        UserError: A class has no name, or one with spaces around it or control characters.
    """
    names = [name for boxes in splits.values() for _, name in boxes.categories]
    bad = [repr(name) for name in names if not name or name != name.strip() or NO_TEXT.search(name)]
    if bad:
        source = next(iter(splits.values())).source
        raise UserError(
            f"{source}: class names that this format cannot hold (empty, spaces around, line "
            f"breaks or control characters): {list_first([*dict.fromkeys(bad)])}; rename them"
        )


def flat_keys(splits: Splits) -> dict[str, list[str]]:
    """A name without folders and extension for every picture, all different.

    File names alone if these differ, else with the split, else with split, folders and extension.
    What a line of a list cannot hold, or hides a file, becomes `_`.
    """
    for name_of in (_stem, _split_and_stem, _whole):
        keys = {
            split: [_key(name_of(split, image["file_name"])) for image in boxes.images]
            for split, boxes in splits.items()
        }
        counts = Counter(key.lower() for names in keys.values() for key in names)
        if all(count == 1 for count in counts.values()):
            return keys
    return {
        split: [f"{split}_{number:06}" for number in range(len(boxes.images))]
        for split, boxes in splits.items()
    }


def suffix_of(picture: Path) -> str:
    """A picture's extension, or the one of its format where its name has none that readers know.

    Raises:
        UserError: It is needed, and the picture cannot be read.
    """
    if is_picture(picture.suffix):
        return picture.suffix
    with open_image(picture) as image:
        return f".{(image.format or '').lower()}"


def visible_name(picture: Path, name: str) -> str:
    """A picture's name, folders kept, as readers of folders find it: not hidden, with an extension.

    Args:
        picture: The file.
        name: Relative, with / between folders.

    Raises:
        UserError: See `suffix_of`.
    """
    parts = [f"_{part[1:]}" if part.startswith(".") else part for part in Path(name).parts]
    path = Path(*parts)
    return path.as_posix() + ("" if is_picture(path.suffix) else suffix_of(picture))


def _key(name: str) -> str:
    held = _NO_KEY.sub("_", name).strip()
    return f"_{held[1:]}" if held.startswith(".") or not held else held


def _stem(split: str, file_name: str) -> str:
    return Path(file_name).stem


def _split_and_stem(split: str, file_name: str) -> str:
    return f"{split}_{Path(file_name).stem}"


def _whole(split: str, file_name: str) -> str:
    return f"{split}_{file_name}".replace("/", "_").replace(".", "_")
