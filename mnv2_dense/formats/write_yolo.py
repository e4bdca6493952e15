"""Writes YOLO's text files."""

from collections import defaultdict
from pathlib import Path, PurePosixPath

import yaml

from mnv2_dense.errors import UserError
from mnv2_dense.formats.box_set import BoxSet, Record
from mnv2_dense.formats.written import (
    Splits,
    Written,
    check_class_names,
    describe_fields,
    describe_ids,
    describe_lost,
    describe_renamed,
    finite,
    visible_name,
)

_LOST = {
    "segmentation": "{} outlines (segmentation): YOLO's files of boxes have none",
    "area": "{} areas of objects: taken as those of their boxes when read",
    "iscrowd": "{} crowd boxes: left out, since YOLO would take each for one object",
    "difficult": "{} difficult boxes: written as any other box",
    "truncated": "{} marks of truncated objects",
    "occluded": "{} marks of occluded objects",
}
_NAMES = "readers find pictures by their extensions, and pass over hidden ones"


def write_yolo(splits: Splits, out: Path) -> Written:
    """Writes data.yaml and labels/SPLIT/NAME.txt; pictures belong into images/SPLIT/.

    Readers replace the last folder `images` of a picture's path: the labels of
    images/SPLIT/images/NAME are written to images/SPLIT/labels.

    A line is `class cx cy w h`, in shares of the picture with twelve digits. Boxes are clipped to
    the picture, since readers refuse shares outside of 0 to 1.

    Args:
        splits: The data set; all splits have the same classes.
        out: An existing folder.

    Raises:
        UserError: Two pictures of a folder differ in their extension alone, a class's name is no
            text of one line, or a picture has no extension and cannot be read.
    """
    check_class_names(splits)
    names: dict[int, str] = {}
    data: dict[str, object] = {}
    pictures: list[tuple[Path, Path]] = []
    renamed: list[tuple[str, str]] = []
    cut = dropped = 0
    for split, boxes in splits.items():
        names = dict(enumerate(category.name for category in boxes.categories))
        data[split] = f"images/{split}"
        lines = _Lines(boxes)
        for image in boxes.images:
            name = image["file_name"]
            picture = boxes.image_folder / name
            place = f"images/{split}/{visible_name(picture, name)}"
            target = out / _labels_of(place)
            if target.exists():
                raise UserError(
                    f"{boxes.source}: {name} and another picture of that name would share a label "
                    "file, as YOLO's do not name the extension; rename one"
                )
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(lines.of(image), encoding="utf-8")
            pictures.append((picture, out / place))
            renamed.append((name, place.removeprefix(f"images/{split}/")))
        cut, dropped = cut + lines.clipped, dropped + lines.dropped
    text = yaml.safe_dump({**data, "names": names}, sort_keys=False, allow_unicode=True)
    (out / "data.yaml").write_text(text, encoding="utf-8")
    lost = [*describe_ids(splits), *describe_lost(splits, _LOST)]
    lost += [*describe_fields(splits, _LOST), *describe_renamed(renamed, _NAMES)]
    lost += [f"{cut} boxes: clipped to their pictures"] if cut else []
    lost += [f"{dropped} boxes without area inside their picture: left out"] if dropped else []
    return Written({"format": "yolo"}, pictures, lost)


def _labels_of(picture: str) -> str:
    parent, _, name = f"/{picture}".rpartition("/")
    before, _, after = f"{parent}/".rpartition("/images/")
    return f"{before}/labels/{after}{PurePosixPath(name).stem}.txt".removeprefix("/")


class _Lines:
    """The label files of a split, and how many boxes did not fit into them."""

    def __init__(self, boxes: BoxSet) -> None:
        self.clipped = 0
        self.dropped = 0
        self._labels = {each.category_id: label for label, each in enumerate(boxes.categories)}
        self._annotations: dict[int, list[Record]] = defaultdict(list)
        for entry in finite(boxes.annotations):
            if not entry.get("iscrowd"):
                self._annotations[entry["image_id"]].append(entry)

    def of(self, image: Record) -> str:
        """The text of a picture's label file."""
        entries = self._annotations[image["id"]]
        return "".join(filter(None, (self._line(entry, image) for entry in entries)))

    def _line(self, entry: Record, image: Record) -> str | None:
        x, y, width, height = entry["bbox"]
        left, top = max(x, 0.0), max(y, 0.0)
        right, bottom = min(x + width, image["width"]), min(y + height, image["height"])
        if right <= left or bottom <= top:
            self.dropped += 1
            return None
        self.clipped += (left, top, right, bottom) != (x, y, x + width, y + height)
        shares = (
            (left + right) / 2 / image["width"],
            (top + bottom) / 2 / image["height"],
            (right - left) / image["width"],
            (bottom - top) / image["height"],
        )
        values = " ".join(f"{share:.12g}" for share in shares)
        return f"{self._labels[entry['category_id']]} {values}\n"
