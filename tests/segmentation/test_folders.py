from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mnv2_dense.errors import UserError
from mnv2_dense.segmentation.folders import read_folders
from mnv2_dense.segmentation.index import SegmentationIndex
from mnv2_dense.segmentation.masks import MaskRule
from mnv2_dense.structures import Category
from tests.segmentation.voc_folder import CATEGORIES, HEIGHT, KEYS, WIDTH, Folder, save_palette


def ids(index: SegmentationIndex) -> list[str]:
    return [index.image_id(position) for position in range(len(index))]


def save_pair(image: Path, mask: Path) -> None:
    image.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 3)).save(image)
    save_palette(mask, np.ones((3, 4), np.uint8))


def test_a_list_gives_pictures_in_its_order(folder: Folder) -> None:
    folder.list.write_text("\ufeff2011_003271\r\n\r\n  2007_000032  \n", encoding="utf-8")
    assert ids(folder.read()) == ["2011_003271", "2007_000032"]


def test_without_a_list_every_picture_is_taken(folder: Folder) -> None:
    folder.add("deep/er/b")
    folder.add("deep.er")
    (folder.images / ".hidden.jpg").touch()
    (folder.images / "notes.txt").touch()
    index = folder.read(list_file=None)
    assert ids(index) == sorted([*KEYS, "deep/er/b", "deep.er"])
    assert index.mask_path(ids(index).index("deep/er/b")) == folder.masks / "deep/er/b.png"


def test_lists_with_folders_and_dots(folder: Folder) -> None:
    folder.add("deep/er/b.c")
    folder.list.write_text("deep/er/b.c\n./2007_000032\n")
    assert ids(folder.read()) == ["deep/er/b.c", "2007_000032"]


@pytest.mark.parametrize("suffix", [".jpg", ".JPG", ".png", ".tif"])
def test_any_extension_of_a_picture_is_found(folder: Folder, suffix: str) -> None:
    kind = {".jpg": "JPEG", ".tif": "TIFF"}.get(suffix.lower(), "PNG")
    (folder.images / f"{KEYS[0]}.jpg").unlink()
    Image.new("RGB", (WIDTH, HEIGHT)).save(folder.images / (KEYS[0] + suffix), format=kind)
    assert folder.read().path(0).name == KEYS[0] + suffix


def test_lists_of_the_augmented_voc(folder: Folder) -> None:
    lines = [f"/JPEGImages/{key}.jpg /SegmentationClassAug/{key}.png" for key in KEYS]
    folder.list.write_text("\n".join(lines))
    assert ids(folder.read()) == list(KEYS)


def test_names_with_spaces(folder: Folder) -> None:
    folder.add("my holiday 2")
    folder.list.write_text("my holiday 2\n")
    assert ids(folder.read()) == ["my holiday 2"]


def test_folders_like_cityscapes(tmp_path: Path) -> None:
    images, masks = tmp_path / "leftImg8bit" / "val", tmp_path / "gtFine" / "val"
    for place in ("bonn/bonn_000001_000019", "aachen/aachen_000000_000019"):
        mask = masks / f"{place}_gtFine_labelTrainIds.png"
        save_pair(images / f"{place}_leftImg8bit.png", mask)
        mask.with_name(mask.name.replace("TrainIds", "Ids")).touch()
    index = read_folders(
        images=images,
        masks=masks,
        list_file=None,
        categories=[Category(label, str(label)) for label in range(19)],
        rule=MaskRule(19),
        image_suffix="_leftImg8bit.png",
        mask_suffix="_gtFine_labelTrainIds.png",
    )
    assert ids(index) == ["aachen/aachen_000000_000019", "bonn/bonn_000001_000019"]
    assert index.path(0) == images / "aachen" / "aachen_000000_000019_leftImg8bit.png"
    assert index.label_map(0).tolist() == [[1] * 4] * 3


def test_folders_like_camvid(tmp_path: Path) -> None:
    images, masks = tmp_path / "train", tmp_path / "trainannot"
    for name in ("0001TP_006720", "0001TP_006690"):
        save_pair(images / f"{name}.png", masks / f"{name}.png")
    listed = tmp_path / "train.txt"
    listed.write_text("/SegNet/CamVid/train/0001TP_006720.png /CamVid/trainannot/0001TP_006720.png")
    rule = MaskRule(11, ignore_index=11)

    def read(list_file: Path | None) -> list[str]:
        read = read_folders(
            images=images, masks=masks, list_file=list_file, categories=CATEGORIES, rule=rule
        )
        return ids(read)

    assert read(None) == ["0001TP_006690", "0001TP_006720"]
    assert read(listed) == ["0001TP_006720"]


def test_pictures_and_masks_in_one_folder(tmp_path: Path) -> None:
    save_pair(tmp_path / "a.jpg", tmp_path / "a.png")
    one = {"images": tmp_path, "masks": tmp_path, "categories": CATEGORIES, "rule": MaskRule(3)}
    with pytest.raises(
        UserError, match=r"several .* \(set data\.image_suffix\): a\.jpg and a\.png"
    ):
        read_folders(**one, list_file=None)
    assert ids(read_folders(**one, list_file=None, image_suffix=".jpg")) == ["a"]


def listed(text: str | bytes) -> Callable[[Folder], object]:
    data = text if isinstance(text, bytes) else text.encode()
    return lambda folder: folder.list.write_bytes(data)


def unlink_picture(folder: Folder) -> None:
    (folder.images / "2007_000039.jpg").unlink()


def unlink_mask(folder: Folder) -> None:
    (folder.masks / "2007_000039.png").unlink()


def double_picture(folder: Folder) -> None:
    Image.new("RGB", (WIDTH, HEIGHT)).save(folder.images / "2007_000039.bmp")


def resize_mask(folder: Folder) -> None:
    save_palette(folder.masks / "2007_000039.png", np.zeros((HEIGHT, WIDTH + 1), np.uint8))


def turn_mask(folder: Folder) -> None:
    save_palette(folder.masks / "2007_000039.png", np.zeros((WIDTH, HEIGHT), np.uint8))


def spoil_picture(folder: Folder) -> None:
    (folder.images / "2007_000039.jpg").write_text("no picture")


MISTAKES = [
    (listed(""), r"train\.txt: the list of pictures is empty"),
    (listed(" \n\n"), r"train\.txt: the list of pictures is empty"),
    (listed(2 * "2007_000039\n"), r"train\.txt: pictures named twice: 2007_000039$"),
    (listed("../secret\n"), r"train\.txt: names leave the image folder .*: \.\./secret$"),
    (listed("/etc/passwd\nC:\\x\na/../../b"), "leave the image folder .*: /etc/passwd, C:"),
    (listed("gone\n"), r"JPEGImages: pictures named in .*train\.txt are missing: gone$"),
    (listed("nul\0\n"), "names leave the image folder .*: nul"),
    (listed("2007_000032  1\n"), "are missing: 2007_000032  1$"),
    (listed(b"\xff\xfea\0"), r"train\.txt: .* in UTF-8 text"),
    (unlink_picture, r"are missing: 2007_000039$"),
    (unlink_mask, r"SegmentationClass: masks of .* are missing: 2007_000039\.png$"),
    (double_picture, r"2007_000039\.bmp and 2007_000039\.jpg$"),
    (resize_mask, r"2007_000039\.png: the mask is 41 x 30 pixels, its picture 40 x 30$"),
    (turn_mask, r"the mask is 30 x 40 pixels, its picture 40 x 30 \(swapped"),
    (spoil_picture, r"2007_000039\.jpg: not an image"),
]


@pytest.mark.parametrize(("change", "problem"), MISTAKES)
def test_mistakes(folder: Folder, change: Callable[[Folder], object], problem: str) -> None:
    folder.read()
    change(folder)
    with pytest.raises(UserError, match=problem) as caught:
        folder.read()
    assert "\n" not in str(caught.value)


def test_all_offenders_are_counted(folder: Folder) -> None:
    for number in range(9):
        folder.add(f"more{number}")
        save_palette(folder.masks / f"more{number}.png", np.zeros((2, 2), np.uint8))
    with pytest.raises(UserError, match=r"more0\.png: .*more4\.png: .* and 4 more$"):
        folder.read(list_file=None)
    for number in range(9):
        (folder.masks / f"more{number}.png").unlink()
    with pytest.raises(UserError, match=r"more0\.png, .*more4\.png and 4 more$"):
        folder.read(list_file=None)


def test_unreadable_pictures_are_all_named(folder: Folder) -> None:
    for key in KEYS[:2]:
        (folder.images / f"{key}.jpg").write_text("no picture")
    with pytest.raises(UserError, match=r"2007_000032\.jpg: not an .*2007_000039\.jpg: not an"):
        folder.read()


def test_exif_rotation_is_ignored(folder: Folder) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (WIDTH, HEIGHT)).save(folder.images / f"{KEYS[0]}.jpg", exif=exif)
    assert len(folder.read()) == len(KEYS)


def test_missing_data_says_what_was_looked_for_and_how_to_get_voc(tmp_path: Path) -> None:
    listed = tmp_path / "ImageSets" / "c.txt"
    changes = {"images": tmp_path / "a", "masks": tmp_path / "b", "list_file": listed}
    folder = Folder(tmp_path / "whole")
    with pytest.raises(UserError) as caught:
        folder.read(**changes)
    for part in (
        *map(str, changes.values()),
        "VOCtrainval_11-May-2012.tar",
        "host.robots.ox.ac.uk",
    ):
        assert part in str(caught.value)
    with pytest.raises(UserError) as caught:
        folder.read(masks=tmp_path / "b", list_file=None)
    assert str(folder.images) not in str(caught.value)
    assert "VOC" not in str(caught.value)
    with pytest.raises(UserError, match="Draw it anew"):
        folder.read(masks=tmp_path / "b", hint="Draw it anew")


def test_a_list_may_name_files(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    listed = tmp_path / "files.txt"
    listed.write_text("".join(f"{folder.read().path(k).name}\n" for k in range(len(folder.read()))))
    plain, named = folder.read(), folder.read(list_file=listed)
    assert [named.image_id(k) for k in range(len(named))] == [
        plain.image_id(k) for k in range(len(plain))
    ]


def test_folders_without_pictures(folder: Folder, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="empty: no pictures in this folder"):
        folder.read(images=tmp_path / "empty", list_file=None)
    with pytest.raises(UserError, match=r"no pictures whose names end with _left\.png"):
        folder.read(list_file=None, image_suffix="_left.png")


def test_sizes_are_left_alone_where_bad_pictures_are_skipped(folder: Folder) -> None:
    save_palette(folder.masks / "2007_000032.png", np.zeros((HEIGHT, 41), np.uint8))
    (folder.images / "2007_000039.jpg").write_bytes(b"no picture")
    with pytest.raises(UserError, match="cannot be used"):
        folder.read()
    assert len(folder.read(check_sizes=False)) == 3


@pytest.mark.parametrize(("split", "count"), [("train", 100), ("val", 40)])
def test_real_voc(shared: Path, split: str, count: int) -> None:
    root = shared / "data" / "voc" / "VOC2012"
    list_file = root / "ImageSets" / "Segmentation" / f"{split}.txt"
    index = read_folders(
        images=root / "JPEGImages",
        masks=root / "SegmentationClass",
        list_file=list_file,
        categories=[Category(label, str(label)) for label in range(21)],
        rule=MaskRule(21),
    )
    assert len(index) == count
    assert ids(index) == list_file.read_text().split()
    labels = [set(np.unique(index.label_map(position)).tolist()) for position in range(count)]
    assert set().union(*labels) >= {0, 15, 255}
