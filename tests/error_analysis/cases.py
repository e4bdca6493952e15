"""Objects and detections written by hand, of classes 3 (cat) and 5 (dog)."""

from typing import Any

CAT, DOG = 3, 5
CATEGORIES = [{"id": CAT, "name": "cat"}, {"id": DOG, "name": "dog"}]


def truth_of(*objects: dict[str, Any], images: int = 2) -> dict[str, Any]:
    """An instances file's content; image ids begin with 1."""
    listed = [{"id": number} for number in range(1, images + 1)]
    return {"images": listed, "categories": CATEGORIES, "annotations": list(objects)}


def thing(label: int = CAT, image: int = 1, left: float = 0, **marks: int) -> dict[str, Any]:
    """An object of 100 x 100 pixels."""
    box = [left, 0, 100, 100]
    return {"image_id": image, "category_id": label, "bbox": box, **marks}


def found(
    score: float, label: int = CAT, image: int = 1, left: float = 0, percent: float = 100
) -> dict[str, Any]:
    """A detection of the upper part of the `thing` at its place: IoU `percent` / 100."""
    box = [left, 0, 100, percent]
    return {"image_id": image, "category_id": label, "bbox": box, "score": score}
