"""The classes of the public data sets, and the names that two of them have for one thing."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from mnv2_dense.errors import UserError
from mnv2_dense.ops.texts import list_first
from mnv2_dense.quoting import quote

NO_TEXT = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")
"""What XML cannot hold, ends a line, or is no Unicode."""
MAX_LENGTH = 200
"""Characters of a class's name."""

BACKGROUND = "background"

VOC_CLASSES = (
    *(BACKGROUND, "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair"),
    *("cow", "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep"),
    *("sofa", "train", "tvmonitor"),
)
"""Pascal VOC's classes in the order of its mask values."""

CITYSCAPES_CLASSES = (
    *("road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "traffic sign"),
    *("vegetation", "terrain", "sky", "person", "rider", "car", "truck", "bus", "train"),
    *("motorcycle", "bicycle"),
)
"""The 19 classes that Cityscapes measures, in the order of its train ids."""

_CITYSCAPES_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)

CITYSCAPES_LABELS = tuple(
    _CITYSCAPES_IDS.index(value) if value in _CITYSCAPES_IDS else 255 for value in range(34)
)
"""By label id, as in `_gtFine_labelIds.png`, the train id; 255 for what is not measured
(cityscapesScripts, helpers/labels.py)."""

_IN_COCO = {
    "aeroplane": "airplane",
    "diningtable": "dining table",
    "motorbike": "motorcycle",
    "pottedplant": "potted plant",
    "sofa": "couch",
    "tvmonitor": "tv",
}
"""What COCO calls six of VOC's classes; the other fourteen have the same names."""


def is_class_name(name: str) -> bool:
    """Whether it is text of one line, of at most `MAX_LENGTH` characters."""
    return 0 < len(name) <= MAX_LENGTH and NO_TEXT.search(name) is None


def check_class_names(names: Sequence[str], file: Path) -> None:
    """Does nothing if all are names of classes.

    Raises:
        UserError: Some are not.
    """
    bad = [quote(name) for name in names if not is_class_name(name)]
    if bad:
        raise UserError(
            f"{file}: names of classes that are no text of one line of at most {MAX_LENGTH} "
            f"characters: {list_first(bad)}"
        )


def find_name(wanted: str, names: Iterable[str]) -> str | None:
    """Which of the names is the class wanted: its own, else what COCO or VOC calls it."""
    present = set(names)
    in_voc = {other: name for name, other in _IN_COCO.items()}
    same = (wanted, _IN_COCO.get(wanted), in_voc.get(wanted))
    return next((name for name in same if name in present), None)
