"""Names of the classes that the authors' files count only, out of torchvision's lists."""

from torchvision.models.detection import SSDLite320_MobileNet_V3_Large_Weights
from torchvision.models.segmentation import DeepLabV3_MobileNet_V3_Large_Weights

from mnv2_dense.structures import Category

_UNUSED = "N/A"
"""How torchvision names the ten ids that COCO's categories leave out."""


def detection_categories(slots: int) -> tuple[Category, ...]:
    """The categories of a detector's class slots, the first of which is background.

    91 slots are COCO's ids 0 to 90, of which 80 are in use; others are numbered from 1.
    """
    names = SSDLite320_MobileNet_V3_Large_Weights.COCO_V1.meta["categories"]
    if slots != len(names):
        return tuple(Category(number, f"class {number}") for number in range(1, slots))
    used = ((number, name) for number, name in enumerate(names) if number and name != _UNUSED)
    return tuple(Category(number, name) for number, name in used)


def segmentation_categories(count: int) -> tuple[Category, ...]:
    """The classes of a label map: VOC's 21, or numbered ones."""
    weights = DeepLabV3_MobileNet_V3_Large_Weights.COCO_WITH_VOC_LABELS_V1
    names = ["background", *weights.meta["categories"][1:]]
    if count != len(names):
        names = [f"class {number}" for number in range(count)]
    return tuple(Category(number, name) for number, name in enumerate(names))
