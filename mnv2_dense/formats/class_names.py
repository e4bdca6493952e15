"""The classes of the public data sets, and the names that two of them have for one thing."""

from collections.abc import Iterable

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


def find_name(wanted: str, names: Iterable[str]) -> str | None:
    """Which of the names is the class wanted: its own, else what COCO or VOC calls it."""
    present = set(names)
    in_voc = {other: name for name, other in _IN_COCO.items()}
    same = (wanted, _IN_COCO.get(wanted), in_voc.get(wanted))
    return next((name for name in same if name in present), None)
