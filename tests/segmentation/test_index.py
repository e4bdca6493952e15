from multiprocessing.reduction import ForkingPickler
from pathlib import Path

import pytest
from PIL import Image

from mnv2_dense.errors import UserError
from mnv2_dense.segmentation.index import SegmentationIndex
from mnv2_dense.segmentation.masks import MaskRule
from tests.segmentation.voc_folder import CATEGORIES, HEIGHT, KEYS, WIDTH, Folder

RULE = MaskRule(len(CATEGORIES))


def test_pictures_and_masks_come_in_the_order_given(folder: Folder) -> None:
    index = folder.read()
    assert len(index) == len(KEYS)
    assert [index.image_id(i) for i in range(3)] == list(KEYS)
    assert index.path(1) == folder.images / "2007_000039.jpg"
    assert index.mask_path(2) == folder.masks / "2011_003271.png"
    assert (index.categories, index.rule) == (CATEGORIES, RULE)
    label_map = index.label_map(1)
    assert label_map[0].tolist() == [255] * 40
    assert label_map[7, :6].tolist() == [0, 1, 1, 1, 0, 0]


def test_label_maps_follow_the_rule(folder: Folder) -> None:
    index = folder.read(rule=MaskRule(1))
    with pytest.raises(UserError, match=r"2007_000032\.png: mask values .*: 1;"):
        index.label_map(0)


def test_lists_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match=r"equally many, not \(2, 1, 2\)"):
        SegmentationIndex(CATEGORIES, ["a", "b"], [Path("a")], [Path("a"), Path("b")], RULE)


def synthetic(count: int) -> SegmentationIndex:
    ids = [f"{number:012}" for number in range(count)]
    images = [Path("JPEGImages") / f"{name}.jpg" for name in ids]
    masks = [Path("SegmentationClass") / f"{name}.png" for name in ids]
    return SegmentationIndex(CATEGORIES, ids, images, masks, RULE)


def test_a_pickled_index_does_not_copy_its_paths() -> None:
    assert len(ForkingPickler.dumps(synthetic(20_000))) < 10_000


def test_some_of_the_pictures(folder: Folder) -> None:
    index = folder.read(upright=True).choose([2, 0])
    assert [index.image_id(i) for i in range(2)] == [KEYS[2], KEYS[0]]
    assert index.mask_place(0) == str(folder.masks / f"{KEYS[2]}.png")
    assert (index.label_map(1) == folder.read().label_map(0)).all()
    assert (index.categories, index.rule, index.upright) == (CATEGORIES, RULE, True)


def test_pictures_are_read_as_their_masks_refer_to_them(folder: Folder) -> None:
    exif = Image.Exif()
    exif[274] = 6
    picture = Image.new("RGB", (HEIGHT, WIDTH))
    picture.save(folder.images / f"{KEYS[0]}.jpg", exif=exif)
    assert folder.read(upright=True).image(0).shape == (HEIGHT, WIDTH, 3)
    assert folder.read(check_sizes=False).image(0).shape == (WIDTH, HEIGHT, 3)
