import copy
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mnv2_dense.detection.index import BoxReport
from mnv2_dense.detection.targets import build_index
from mnv2_dense.errors import UserError
from mnv2_dense.formats.coco import read_coco
from mnv2_dense.structures import Category, ImageSize
from tests.detection.coco_folder import HEIGHT, WIDTH, Folder, Json, annotation, content


def test_index_by_hand(folder: Folder) -> None:
    index = folder.read(content())
    assert len(index) == 3
    assert index.categories == (Category(1, "person"), Category(90, "toothbrush"))
    assert [index.image_id(i) for i in range(3)] == [5, 70, 900]
    assert [index.path(i) for i in range(3)] == [folder.images / f"{n}.png" for n in (5, 70, 900)]
    assert index.size(1) == ImageSize(HEIGHT, WIDTH)
    boxes, labels = index.targets(1)
    assert boxes.tolist() == [[1, 2, 11, 7], [20.5, 4.25, 28.5, 12.25]]
    assert labels.tolist() == [1, 0]
    assert (boxes.dtype, labels.dtype) == (torch.float32, torch.int64)
    assert index.targets(0).boxes.tolist() == [[0, 0, 40, 30]]
    empty = index.targets(2)
    assert (empty.boxes.shape, empty.labels.shape) == ((0, 4), (0,))
    assert index.box_report.message() is None


def test_targets_are_copies(folder: Folder) -> None:
    index = folder.read(content())
    index.targets(1).boxes.zero_()
    assert index.targets(1).boxes.sum() > 0


def test_a_set_of_crowds_only_has_no_boxes(folder: Folder) -> None:
    data = content()
    for entry in data["annotations"]:
        entry["iscrowd"] = 1
    index = folder.read(data)
    assert [len(index.targets(i).boxes) for i in range(3)] == [0, 0, 0]


def test_box_rule(folder: Folder) -> None:
    data = content()
    nan, inf = float("nan"), float("inf")
    data["annotations"] = [
        annotation(1, 70, 1, -5, -5, 10, 10),  # clipped
        annotation(2, 70, 1, 35, 25, 10, 10),  # clipped
        annotation(3, 70, 1, 10, 10, 0, 5),  # no width
        annotation(4, 70, 1, 10, 10, 5, -5),  # inverted
        annotation(5, 70, 1, nan, 0, 5, 5),
        annotation(6, 70, 1, 0, 0, inf, 5),
        annotation(7, 70, 1, 50, 5, 5, 5),  # outside
        annotation(8, 70, 1, 39.5, 5, 5, 5),  # half a pixel is left
        annotation(9, 70, 1, 39, 29, 1, 1),  # one pixel stays
        annotation(10, 70, 1, 0, 0, 40.004, 30),  # rounding is no clip
        annotation(11, 70, 1, 1e308, 0, 1e308, 5),
        annotation(12, 5, 1, 0, 0, 99, 99),  # clipped
    ]
    index = folder.read(data)
    assert index.targets(1).boxes.tolist() == [
        [0, 0, 5, 5],
        [35, 25, 40, 30],
        [39, 29, 40, 30],
        [0, 0, 40, 30],
    ]
    assert index.targets(0).boxes.tolist() == [[0, 0, 40, 30]]
    name = str(folder.file)
    assert index.box_report == BoxReport(name, 3, 7, ("1", "2", "12"), ("3", "4", "5", "6", "7"))
    message = index.box_report.message()
    assert message is not None
    assert "clipped 3 to the image (annotation ids 1, 2, 12)" in message
    assert "dropped 7" in message
    assert "3, 4, 5, 6, 7 and 2 more" in message


def test_pictures_in_subfolders_and_odd_names(folder: Folder) -> None:
    data = content()
    (folder.images / "a").mkdir()
    for image, name in zip(data["images"], ("a/x y.png", "5.png", "a/ü.png"), strict=True):
        image["file_name"] = name
        Image.new("RGB", (WIDTH, HEIGHT)).save(folder.images / name)
    index = folder.read(data)
    assert index.path(2) == folder.images / "a/ü.png"
    assert all(index.path(i).is_file() for i in range(3))


def _without(*keys: str) -> Callable[[Json], None]:
    def change(data: Json) -> None:
        entry = data
        for key in keys[:-1]:
            entry = entry[key][0] if isinstance(entry[key], list) else entry[key]
        del entry[keys[-1]]

    return change


def _with(section: str, **values: object) -> Callable[[Json], None]:
    def change(data: Json) -> None:
        data[section][0].update(values)

    return change


def _empty(section: str) -> Callable[[Json], None]:
    def change(data: Json) -> None:
        data[section] = []

    return change


def _twice(section: str) -> Callable[[Json], None]:
    def change(data: Json) -> None:
        data[section].append(copy.deepcopy(data[section][0]))

    return change


MISTAKES: list[tuple[Callable[[Json], None], str]] = [
    (_without("images"), "no key 'images'"),
    (_without("annotations"), "no key 'annotations'"),
    (_without("categories"), "no key 'categories'"),
    (_empty("images"), "empty annotation file .'images'"),
    (_empty("annotations"), "empty annotation file .'annotations'"),
    (_empty("categories"), "empty annotation file .'categories'"),
    (lambda data: data.update(images={}), "'images' is no list"),
    (lambda data: data["images"].append("x"), "'images' has entries without .* positions 3"),
    (_without("annotations", "id"), "'annotations' has entries without .* positions 0"),
    (_with("images", id="70"), "'images' has entries without .* positions 0"),
    (_with("images", id=2**70), "'images' has entries without .* positions 0"),
    (_twice("images"), "duplicate ids in 'images': 70"),
    (_twice("annotations"), "duplicate ids in 'annotations': 11"),
    (_twice("categories"), "duplicate ids in 'categories': 90"),
    (_with("annotations", image_id=404), r"image_id is missing .* 11 \(image_id 404\)"),
    (_with("annotations", category_id=2), r"category_id is missing .* 11 \(category_id 2\)"),
    (_without("annotations", "image_id"), r"image_id is missing .* 11 \(image_id None\)"),
    (_with("annotations", category_id=[1]), r"category_id is missing .* 11 \(category_id \[1\]\)"),
    (_without("images", "width"), "width and height .* image ids 70"),
    (_without("images", "height"), "width and height .* image ids 70"),
    (_without("images", "file_name"), "file_name.* image ids 70"),
    (_with("images", width=0), "width and height .* image ids 70"),
    (_with("images", height=30.5), "width and height .* image ids 70"),
    (_with("images", file_name=""), "no file_name.* image ids 70"),
    (_with("images", file_name="/etc/passwd"), "leaves the image folder .* image ids 70"),
    (_with("images", file_name="a/../../x.png"), "leaves the image folder .* image ids 70"),
    (_with("images", file_name="..\\x.png"), "leaves the image folder .* image ids 70"),
    (_with("images", file_name="C:\\x.png"), "leaves the image folder .* image ids 70"),
    (_with("images", file_name="gone.png"), r"are missing: gone\.png"),
    (_with("images", file_name="sub/gone.png"), r"are missing: sub/gone\.png"),
    (_with("images", file_name="nul\0.png"), "leaves the image folder .* image ids 70"),
    (_with("images", file_name="\ud800.png"), "no file_name, or"),
    (_without("categories", "name"), "no name for category ids 90"),
    (_without("annotations", "bbox"), "bbox is not four numbers .* annotation ids 11"),
    (_with("annotations", bbox=[1, 2, 3]), "bbox is not four numbers .* annotation ids 11"),
    (_with("annotations", bbox=[1, 2, 3, "4"]), "bbox is not four numbers .* annotation ids 11"),
    (_with("annotations", bbox=[1, 2, 3, None]), "bbox is not four numbers .* annotation ids 11"),
    (_with("annotations", bbox=[1, 2, 3, 10**400]), "bbox is not four numbers"),
    (_with("annotations", bbox=[1, 2, 3, True]), "bbox is not four numbers"),
]


@pytest.mark.parametrize(("change", "problem"), MISTAKES)
def test_mistakes_in_the_file(folder: Folder, change: Callable[[Json], None], problem: str) -> None:
    data = content()
    change(data)
    with pytest.raises(UserError, match=problem) as caught:
        folder.read(data)
    assert str(folder.file) in str(caught.value)


def test_all_mistakes_are_named_at_once(folder: Folder) -> None:
    data = content()
    data["images"][0]["width"] = 0
    data["annotations"][1]["category_id"] = 404
    data["annotations"][2]["bbox"] = "large"
    with pytest.raises(UserError) as caught:
        folder.read(data)
    lines = str(caught.value).splitlines()
    assert lines[0] == "3 kinds of mistakes in the data"
    assert [line.rsplit(maxsplit=1)[1] for line in lines[1:]] == ["70", "12", "404)"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "not complete JSON"),
        (json.dumps(content())[:-40], "not complete JSON, perhaps cut short"),
        ("[1, 2]", "the JSON is no object"),
        ("[" * 100_000, "cannot be read as JSON"),
        ("\xff\xfe\xff", "cannot be read as JSON"),
        ('{"images": ' + "1" * 5000 + "}", "'images' is no list"),
    ],
)
def test_files_that_are_no_instances_file(folder: Folder, text: str, problem: str) -> None:
    folder.file.write_text(text, encoding="latin-1")
    with pytest.raises(UserError, match=problem) as caught:
        read_coco(folder.file, folder.images)
    assert str(folder.file) in str(caught.value)


def test_missing_data_says_what_was_looked_for_and_how_to_get_coco(tmp_path: Path) -> None:
    file, images = tmp_path / "a.json", tmp_path / "train2017"
    with pytest.raises(UserError) as caught:
        read_coco(file, images)
    for part in (str(file), str(images), "images.cocodataset.org", "annotations_trainval2017.zip"):
        assert part in str(caught.value)
    images.mkdir()
    with pytest.raises(UserError) as caught:
        read_coco(file, images)
    assert str(images) not in str(caught.value)


def test_missing_pictures_are_counted_and_the_first_are_listed(folder: Folder) -> None:
    data = content()
    for number in range(9):
        size = {"width": 9, "height": 9}
        data["images"].append({"id": number + 1000, "file_name": f"lost{number}.png", **size})
    with pytest.raises(UserError, match=r"lost0\.png, .*lost4\.png and 4 more"):
        folder.read(data)


@pytest.mark.parametrize(("split", "images"), [("train2017", 343), ("val2017", 206)])
def test_real_coco(shared: Path, split: str, images: int) -> None:
    root = shared / "data" / "coco"
    file = root / "annotations" / f"instances_{split}.json"
    index = build_index(read_coco(file, root / split))
    data = json.loads(file.read_text())
    single = [entry for entry in data["annotations"] if entry["iscrowd"] == 0]
    assert (len(index), len(index.categories)) == (images, 80)
    assert len(index.boxes) == len(single)
    assert index.box_report.message() is None
    assert index.categories[0] == Category(1, "person")
    assert index.categories[79] == Category(90, "toothbrush")
    for position in range(0, images, 20):
        mine = [entry for entry in single if entry["image_id"] == index.image_id(position)]
        boxes, labels = index.targets(position)
        expected = np.array([entry["bbox"] for entry in mine]).reshape(-1, 4)
        expected[:, 2:] += expected[:, :2]
        np.testing.assert_allclose(boxes.numpy(), expected, atol=1e-4)
        ids = [index.categories[label].category_id for label in labels.tolist()]
        assert ids == [entry["category_id"] for entry in mine]
