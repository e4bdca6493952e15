from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mnv2_dense.errors import UserError
from mnv2_dense.segmentation.index import SegmentationIndex
from mnv2_dense.segmentation.masks import MaskRule
from mnv2_dense.segmentation.survey import check_classes_present, count_pixels
from mnv2_dense.structures import Category

CATEGORIES = [Category(0, "background"), Category(1, "cat"), Category(2, "dog")]


def index_of(folder: Path, masks: list[np.ndarray]) -> SegmentationIndex:
    paths = [folder / f"{number}.png" for number in range(len(masks))]
    for path, mask in zip(paths, masks, strict=True):
        Image.fromarray(mask.astype(np.uint8)).save(path)
    return SegmentationIndex(CATEGORIES, [path.stem for path in paths], paths, paths, MaskRule(3))


def test_pixels_are_counted_over_all_masks_without_void(tmp_path: Path) -> None:
    first, second = np.zeros((4, 5)), np.full((3, 3), 2)
    first[0] = 255
    pixels, bad = count_pixels(index_of(tmp_path, [first, second]))
    assert (pixels.tolist(), bad) == ([15, 0, 9], 0)


def test_all_bad_masks_are_found_at_once(tmp_path: Path) -> None:
    good = np.zeros((4, 4))
    index = index_of(tmp_path, [good, np.full((4, 4), 7), good, np.full((4, 4), 9)])
    with pytest.raises(UserError, match=r"2 of 4 masks.*1\.png.*7.*3\.png.*9"):
        count_pixels(index)


def test_bad_masks_are_passed_over_where_they_are_skipped(tmp_path: Path) -> None:
    good, bad = np.ones((4, 4)), np.full((4, 4), 7)
    survey = count_pixels(index_of(tmp_path, [good, bad, good]), skip_bad=True)
    assert (survey.pixels.tolist(), survey.bad_masks) == ([0, 32, 0], 1)
    with pytest.raises(UserError, match="2 of 2 masks cannot be used"):
        count_pixels(index_of(tmp_path, [bad, bad]), skip_bad=True)


def test_absent_classes_are_named() -> None:
    names = ["background", "cat", "dog"]
    assert check_classes_present(names, np.array([5, 1, 2])) is None
    message = check_classes_present(names, np.array([5, 0, 2]))
    assert message == "no training mask holds cat"


def test_masks_of_one_class_are_refused() -> None:
    """As masks of 0 and 255 are, whose object is read as void."""
    with pytest.raises(UserError, match=r"data\.colors=\[\[0,0,0\],\[255,255,255\]\]"):
        check_classes_present(["background", "cat"], np.array([5, 0]))
