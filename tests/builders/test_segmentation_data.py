import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mnv2_dense import builders
from mnv2_dense.builders.segmentation_data import read_split, settle_classes
from mnv2_dense.config.loader import parse_config
from mnv2_dense.config.segmentation import SegmentationData
from mnv2_dense.errors import UserError
from mnv2_dense.formats.class_names import CITYSCAPES_CLASSES, VOC_CLASSES
from mnv2_dense.segmentation.index import SegmentationIndex
from tests.segmentation.test_rendered import Folder as CocoFolder

BLACK, RED, GREEN = (0, 0, 0), (128, 0, 0), (0, 128, 0)


def data_of(root: Path, **keys: Any) -> SegmentationData:
    return SegmentationData.model_validate({"root": str(root), **keys})


def save(path: Path, pixels: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.array(pixels, dtype=np.uint8)).save(path)


def add_pair(root: Path, name: str, mask: Any, split: str = "train") -> None:
    """A picture and a mask of one row in format `folders`."""
    save(root / "masks" / split / f"{name}.png", [mask])
    save(root / "images" / split / f"{name}.jpg", np.zeros((1, len(mask), 3)))


def ids(index: SegmentationIndex) -> list[str]:
    return [index.image_id(position) for position in range(len(index))]


def names(data: SegmentationData) -> list[str]:
    return [category.name for category in read_split(data, "train").categories]


# Classes


def test_given_classes_stay(tmp_path: Path) -> None:
    for keys in ({"classes": ("a", "b")}, {"num_classes": 3}):
        data = data_of(tmp_path, **keys)
        assert settle_classes(data) == data


def test_masks_of_indices_are_counted(tmp_path: Path) -> None:
    add_pair(tmp_path, "a", [0, 1, 255])
    add_pair(tmp_path, "b", [0, 3, 3])
    data = settle_classes(data_of(tmp_path, format="folders"))
    assert (data.num_classes, data.classes) == (4, None)
    assert names(data_of(tmp_path, format="folders")) == [
        "class 0",
        "class 1",
        "class 2",
        "class 3",
    ]


def test_a_value_of_validation_alone_is_a_mistake(tmp_path: Path) -> None:
    add_pair(tmp_path, "a", [0, 1])
    add_pair(tmp_path, "b", [0, 2], "val")
    index = read_split(data_of(tmp_path, format="folders"), "val")
    with pytest.raises(UserError, match=r"b\.png: mask values that are neither a class \(0 to 1\)"):
        index.label_map(0)


def test_masks_of_black_and_white_are_explained(tmp_path: Path) -> None:
    add_pair(tmp_path, "a", [0, 255])
    with pytest.raises(UserError, match=r"data\.colors=\[\[0,0,0\],\[255,255,255\]\]"):
        settle_classes(data_of(tmp_path, format="folders"))
    data = data_of(tmp_path, format="folders", colors=[BLACK, (255, 255, 255)])
    assert settle_classes(data).num_classes == 2
    assert read_split(data, "train").label_map(0).tolist() == [[0, 1]]


def test_colours_without_a_table_are_listed_to_be_given(tmp_path: Path) -> None:
    add_pair(tmp_path, "a", [BLACK, BLACK, BLACK, RED])
    with pytest.raises(UserError) as caught:
        settle_classes(data_of(tmp_path, format="folders"))
    text = str(caught.value)
    assert "75.00%, 25.00%" in text
    key, _, value = text.split("'")[1].partition("=")
    colors = json.loads(value)
    assert key == "data.colors"
    index = read_split(data_of(tmp_path, format="folders", colors=colors), "train")
    assert index.label_map(0).tolist() == [[0, 0, 0, 1]]


@pytest.mark.parametrize(
    ("name", "text", "given"),
    [
        ("labelmap.txt", "# a\nroad:128,0,0::\nvoid:0,0,0::\nsky:0,128,0::\n", None),
        ("class_dict.csv", "name,r,g,b\nroad,128,0,0\nVoid,0,0,0\nsky,0,128,0\n", None),
        ("deep/my.csv", "road,128,0,0\nignored,0,0,0\nsky,0,128,0\n", "deep/my.csv"),
    ],
)
def test_a_table_of_colours(tmp_path: Path, name: str, text: str, given: str | None) -> None:
    add_pair(tmp_path, "a", [BLACK, RED, GREEN])
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(text)
    data = settle_classes(data_of(tmp_path, format="folders", color_table=given))
    assert (data.classes, data.color_table) == (("road", "sky"), None)
    assert (data.colors, data.ignore_color) == ((RED, GREEN), BLACK)
    assert read_split(data, "train").label_map(0).tolist() == [[255, 0, 1]]
    assert settle_classes(data) == data


def test_a_table_of_names_for_indices(tmp_path: Path) -> None:
    """As labelme2voc.py writes it."""
    add_pair(tmp_path, "a", [0, 2, 255])
    (tmp_path / "class_names.txt").write_text("_background_\ncat\ndog")
    data = settle_classes(data_of(tmp_path, format="folders"))
    assert (data.classes, data.colors) == (("background", "cat", "dog"), None)
    assert read_split(data, "train").label_map(0).tolist() == [[0, 2, 255]]


def test_palettes_are_read_by_colour_whatever_the_first_masks_show(tmp_path: Path) -> None:
    """Whose palette has another order than the table, and whose pixels show it late."""
    for number in range(60):
        add_pair(tmp_path, f"{number:02}", [0, 0])
    add_pair(tmp_path, "late", [0, 1])
    for file in (tmp_path / "masks" / "train").iterdir():
        mask = Image.open(file)
        mask.putpalette([*BLACK, *GREEN, *RED])
        mask.save(file)
    (tmp_path / "table.csv").write_text("name,r,g,b\nsky,0,0,0\nroad,128,0,0\nsea,0,128,0\n")
    data = settle_classes(data_of(tmp_path, format="folders"))
    assert data.classes == ("sky", "road", "sea")
    assert read_split(data, "train").label_map(60).tolist() == [[0, 2]]


def test_camvid_and_roboflow(tmp_path: Path) -> None:
    save(tmp_path / "train" / "a.png", np.zeros((1, 2, 3)))
    save(tmp_path / "train_labels" / "a_L.png", [[BLACK, RED]])
    (tmp_path / "class_dict.csv").write_text("name,r,g,b\nVoid,0,0,0\nroad,128,0,0\nsky,1,1,1\n")
    data = data_of(tmp_path, format="camvid", val_masks=None, val_images=None)
    assert read_split(data, "train").label_map(0).tolist() == [[255, 0]]
    root = tmp_path / "roboflow"
    save(root / "train" / "a.jpg", np.zeros((1, 2, 3)))
    save(root / "train" / "a_mask.png", [[0, 1]])
    (root / "train" / "_classes.csv").write_text("Pixel Value, Class\n0, background\n1, car\n")
    data = settle_classes(data_of(root, format="roboflow"))
    assert data.classes == ("background", "car")
    assert read_split(data, "train").label_map(0).tolist() == [[0, 1]]
    assert ids(read_split(data, "train")) == ["a"]


def test_a_table_that_does_not_fit_the_config(tmp_path: Path) -> None:
    add_pair(tmp_path, "a", [0, 1])
    (tmp_path / "classes.txt").write_text("a\nb\n")
    data = data_of(tmp_path, format="folders", color_table="classes.txt", num_classes=3)
    with pytest.raises(UserError, match="num_classes is 3, but classes has 2 names"):
        settle_classes(data)


def add_voc(root: Path, name: str, mask: list[int]) -> None:
    save(root / "SegmentationClass" / f"{name}.png", [mask])
    save(root / "JPEGImages" / f"{name}.jpg", np.zeros((1, len(mask), 3)))
    listed = root / "ImageSets" / "Segmentation" / "train.txt"
    listed.parent.mkdir(parents=True, exist_ok=True)
    with listed.open("a") as file:
        file.write(f"{name}\n")


def test_vocs_names_are_only_given_to_voc(tmp_path: Path) -> None:
    add_voc(tmp_path / "voc", "2007_000032", [0, 20, 255])
    assert settle_classes(data_of(tmp_path / "voc")).classes == VOC_CLASSES
    add_voc(tmp_path / "parts", "2008_000032", [0, 6, 255])
    assert settle_classes(data_of(tmp_path / "parts")).num_classes == 7
    add_voc(tmp_path / "own", "holiday", [0, 20, 255])
    assert settle_classes(data_of(tmp_path / "own")).classes is None


@pytest.mark.parametrize(
    ("suffix", "mask", "expected"),
    [
        ("labelIds", [7, 26, 0, 29, 33, 255], [0, 13, 255, 255, 18, 255]),
        ("labelTrainIds", [0, 13, 255, 18], [0, 13, 255, 18]),
    ],
)
def test_cityscapes(tmp_path: Path, suffix: str, mask: list[int], expected: list[int]) -> None:
    place = "bonn/bonn_000001_000019"
    save(tmp_path / "gtFine" / "train" / f"{place}_gtFine_{suffix}.png", [mask])
    save(
        tmp_path / "leftImg8bit" / "train" / f"{place}_leftImg8bit.png",
        np.zeros((1, len(mask), 3)),
    )
    data = data_of(tmp_path, format="cityscapes", mask_suffix=f"_gtFine_{suffix}.png")
    index = read_split(data, "train")
    assert tuple(category.name for category in index.categories) == CITYSCAPES_CLASSES
    assert ids(index) == [place]
    assert index.label_map(0).tolist() == [expected]


def test_cityscapes_label_ids_as_they_are(tmp_path: Path) -> None:
    """With another number of classes than the 19, values are classes."""
    save(tmp_path / "gtFine" / "train" / "a_gtFine_labelIds.png", [[7, 33]])
    save(tmp_path / "leftImg8bit" / "train" / "a_leftImg8bit.png", np.zeros((1, 2, 3)))
    index = read_split(data_of(tmp_path, format="cityscapes", num_classes=34), "train")
    assert index.label_map(0).tolist() == [[7, 33]]


def test_categories_of_a_coco_file(tmp_path: Path) -> None:
    CocoFolder(tmp_path).read()
    places = {"train_images": ".", "train_annotations": "instances.json"}
    data = data_of(tmp_path, format="coco", **places)
    settled = settle_classes(data)
    assert settled.classes == ("background", "cat", "dog", "couch")
    index = read_split(data, "train")
    assert set(np.unique(index.label_map(0)).tolist()) == {0, 1, 2, 3, 255}
    with pytest.raises(UserError, match="num_classes is 3, but classes has 4 names"):
        settle_classes(data.model_copy(update={"num_classes": 3}))


def test_small_objects_are_left_out_of_training_alone(tmp_path: Path) -> None:
    CocoFolder(tmp_path).read()
    places = {f"{split}_images": "." for split in ("train", "val")}
    places |= {f"{split}_annotations": "instances.json" for split in ("train", "val")}
    data = data_of(tmp_path, format="coco", min_object_area=101, **places)
    assert len(read_split(data, "train")) == 1
    assert len(read_split(data, "val")) == 2


def test_a_run_keeps_the_list(tmp_path: Path) -> None:
    add_pair(tmp_path, "a", [0, 1])
    (tmp_path / "classes.txt").write_text("sea\nland\n")
    section = {"format": "folders", "root": str(tmp_path)}
    config = parse_config({"task": "segmentation", "data": section})
    settled = builders.settle_classes(config)
    assert settled.data.classes == ("sea", "land")
    assert settled.model_copy(update={"data": config.data}) == config
    assert builders.settle_classes(settled) is settled
    weighted = parse_config({"task": "segmentation", "data": section}, ["loss.class_weights=[1]"])
    with pytest.raises(UserError, match="class_weights has 1 entries for 2 classes"):
        builders.settle_classes(weighted)


# Splits


def test_a_drawn_share(tmp_path: Path) -> None:
    for number in range(20):
        save(tmp_path / "masks" / f"{number}.png", [[0, 1]])
        save(tmp_path / "images" / f"{number}.jpg", np.zeros((1, 2, 3)))
    data = data_of(tmp_path, format="folders", val_share=0.25)
    train, val = (ids(read_split(data, split)) for split in ("train", "val"))
    assert (len(train), len(val)) == (15, 5)
    assert sorted(train + val) == sorted(str(number) for number in range(20))
    assert ids(read_split(data, "val")) == val
    other = data_of(tmp_path, format="folders", val_share=0.25, split_seed=1)
    assert ids(read_split(other, "val")) != val


def test_a_drawn_share_of_coco(tmp_path: Path) -> None:
    CocoFolder(tmp_path).read()
    places = {"train_images": ".", "train_annotations": "instances.json"}
    data = data_of(tmp_path, format="coco", val_share=0.5, classes=("background", "cat"), **places)
    train, val = (ids(read_split(data, split)) for split in ("train", "val"))
    assert sorted(train + val) == ["5", "70"]
    assert len(train) == len(val) == 1


def test_a_split_without_places(tmp_path: Path) -> None:
    data = data_of(tmp_path, format="folders", num_classes=2, val_images=None)
    with pytest.raises(UserError, match=r"data\.val_images and data\.val_masks.*data\.val_share"):
        read_split(data, "val")


def test_bad_sizes_wait_where_bad_pictures_are_skipped(tmp_path: Path) -> None:
    add_pair(tmp_path, "a", [0, 1])
    save(tmp_path / "images" / "train" / "a.jpg", np.zeros((5, 5, 3)))
    with pytest.raises(UserError, match=r"a\.png: the mask is 2 x 1"):
        read_split(data_of(tmp_path, format="folders", num_classes=2), "train")
    data = data_of(tmp_path, format="folders", num_classes=2, on_bad_image="skip")
    assert len(read_split(data, "train")) == 1


def test_masks_of_upright_pictures(tmp_path: Path) -> None:
    add_pair(tmp_path, "a", [0, 1])
    exif = Image.Exif()
    exif[274] = 6
    Image.new("RGB", (1, 2)).save(tmp_path / "images" / "train" / "a.jpg", exif=exif)
    upright = data_of(tmp_path, format="folders", num_classes=2, orientation="upright")
    assert read_split(upright, "train").image(0).shape == (1, 2, 3)
    with pytest.raises(UserError, match=r"swapped: was the mask drawn.*EXIF"):
        read_split(data_of(tmp_path, format="folders", num_classes=2), "train")


def test_classes_between_which_some_are_in_no_mask_are_told(tmp_path: Path) -> None:
    add_pair(tmp_path, "a", [0, 1, 7])
    add_pair(tmp_path, "b", [0, 1, 2])
    told: list[str] = []
    data = data_of(tmp_path, format="folders")
    assert settle_classes(data, told.append).num_classes == 8
    (line,) = told
    assert "counted from the masks: 8, but no mask holds 3 to 6; 7 is in 1 mask" in line
    assert "a.png" in line
    given = data.model_copy(update={"num_classes": 8})
    settle_classes(given, told.append)
    assert len(told) == 1


def test_missing_masks_can_be_passed_over(tmp_path: Path) -> None:
    add_pair(tmp_path, "a", [0, 1, 2])
    add_pair(tmp_path, "b", [0, 1])
    (tmp_path / "masks/train/b.png").unlink()
    data = data_of(tmp_path, format="folders")
    with pytest.raises(UserError, match=r"b\.png"):
        settle_classes(data)
    assert settle_classes(data, partial=True).num_classes == 3
