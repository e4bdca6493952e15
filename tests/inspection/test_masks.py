from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mnv2_dense.errors import UserError
from mnv2_dense.inspection.masks import FOREIGN, draw_mask, scan_mask, unused_masks
from mnv2_dense.segmentation.masks import MaskRule
from mnv2_dense.structures import ImageSize
from tests.inspection.data_set import clean_values, save_mask
from tests.inspection.faults import truncate

RULE = MaskRule(3)


def test_pixels_are_counted_by_label(tmp_path: Path) -> None:
    save_mask(tmp_path / "a.png", clean_values())
    facts = scan_mask(tmp_path / "a.png", RULE)
    assert facts.fault == ""
    assert facts.size == ImageSize(48, 64)
    assert facts.pixels == {0: 64 * 9 + 10 * 18, 1: 64 * 20, 2: 54 * 18, 255: 64}


def test_kinds_of_faults(tmp_path: Path) -> None:
    values = clean_values()
    save_mask(tmp_path / "foreign.png", values + (values == 2))
    Image.fromarray(values).save(tmp_path / "blurred.png", "JPEG")
    Image.fromarray(values).convert("RGB").save(tmp_path / "colors.png")
    save_mask(tmp_path / "cut.png", values)
    truncate(tmp_path / "cut.png")
    names = ("foreign", "blurred", "colors", "cut", "gone")
    found = [scan_mask(tmp_path / f"{name}.png", RULE) for name in names]
    assert [facts.fault for facts in found] == [
        "foreign_value",
        "inexact_mask",
        "color_mask",
        "unreadable_mask",
        "missing_mask",
    ]
    for name, facts in zip(names, found, strict=True):
        assert f"{name}.png" in facts.error


def test_colours_that_no_class_has_are_foreign(tmp_path: Path) -> None:
    rule = MaskRule(2, colors=((0, 0, 0), (255, 0, 0)))
    Image.new("RGB", (4, 4), (9, 9, 9)).save(tmp_path / "a.png")
    assert scan_mask(tmp_path / "a.png", rule).fault == "foreign_value"


def test_masks_without_pictures(tmp_path: Path) -> None:
    for name in ("a_mask.png", "b_mask.png", "b_color.png"):
        save_mask(tmp_path / name, clean_values())
    found = unused_masks(tmp_path, [tmp_path / "a_mask.png"], "_mask.png", listed=False)
    assert [each.problem.place for each in found] == ["b_mask.png"]


def test_foreign_values_are_drawn_apart(tmp_path: Path) -> None:
    values = np.array([[0, 1, 3, 255]], np.uint8)
    save_mask(tmp_path / "a.png", values)
    drawn = draw_mask(tmp_path / "a.png", RULE)
    assert drawn[0].tolist() == [[0, 0, 0], [128, 0, 0], list(FOREIGN), [224, 224, 192]]


def test_a_mask_that_cannot_be_read_is_not_drawn(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"gone\.png"):
        draw_mask(tmp_path / "gone.png", RULE)
