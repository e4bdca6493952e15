from pathlib import Path

import pytest

from mnv2_dense.errors import UserError
from mnv2_dense.formats.class_names import (
    CITYSCAPES_CLASSES,
    CITYSCAPES_LABELS,
    VOC_CLASSES,
    check_class_names,
    find_name,
    is_class_name,
)


def test_the_lists_are_as_long_as_their_sets_say() -> None:
    assert len(set(VOC_CLASSES)) == 21
    assert len(set(CITYSCAPES_CLASSES)) == 19


def test_label_ids_become_train_ids() -> None:
    """As cityscapesScripts' table of labels has them."""
    named = {7: "road", 11: "building", 23: "sky", 26: "car", 28: "bus", 31: "train", 33: "bicycle"}
    for value, name in named.items():
        assert CITYSCAPES_CLASSES[CITYSCAPES_LABELS[value]] == name
    assert {CITYSCAPES_LABELS[value] for value in (0, 3, 6, 9, 14, 16, 18, 29, 30)} == {255}
    assert sorted(set(CITYSCAPES_LABELS)) == [*range(19), 255]


@pytest.mark.parametrize(
    ("wanted", "names", "found"),
    [
        ("cat", ["dog", "cat"], "cat"),
        ("sofa", ["couch", "chair"], "couch"),
        ("sofa", ["couch", "sofa"], "sofa"),
        ("tv", ["tvmonitor"], "tvmonitor"),
        ("settee", ["couch"], None),
    ],
)
def test_one_thing_under_two_names(wanted: str, names: list[str], found: str | None) -> None:
    assert find_name(wanted, names) == found


def test_what_is_no_class_name(tmp_path: Path) -> None:
    assert all(map(is_class_name, ("cat", " 猫 ", "traffic light", "x" * 200, "a\u3000b")))
    bad = ["", "a\nb", "\x1b[2J", "\ud800", "x" * 201, "a\u2028"]
    assert not any(map(is_class_name, bad))
    check_class_names(["cat"], tmp_path)
    with pytest.raises(UserError, match=r"no text of one line .*: a\\nb, \\x1b\[2J$"):
        check_class_names(["cat", "a\nb", "\x1b[2J"], tmp_path)
