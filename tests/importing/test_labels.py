import pytest

from mnv2_dense.importing.labels import detection_categories, segmentation_categories

UNUSED_IDS = {12, 26, 29, 30, 45, 66, 68, 69, 71, 83}
"""COCO's ids 1 to 90 that no category has."""


def test_ninety_one_slots_are_cocos_ids() -> None:
    categories = detection_categories(91)
    assert [each.category_id for each in categories] == sorted({*range(1, 91)} - UNUSED_IDS)
    named = {each.category_id: each.name for each in categories}
    assert (named[1], named[18], named[90]) == ("person", "dog", "toothbrush")


@pytest.mark.parametrize("slots", [2, 81, 92])
def test_other_slots_are_numbered(slots: int) -> None:
    categories = detection_categories(slots)
    assert [each.category_id for each in categories] == list(range(1, slots))
    assert categories[0].name == "class 1"


def test_twenty_one_classes_are_vocs() -> None:
    categories = segmentation_categories(21)
    assert [each.category_id for each in categories] == list(range(21))
    assert [categories[label].name for label in (0, 8, 15, 20)] == [
        "background",
        "cat",
        "person",
        "tvmonitor",
    ]
    assert [each.name for each in segmentation_categories(2)] == ["class 0", "class 1"]
