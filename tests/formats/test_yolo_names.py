from pathlib import Path

import pytest

from mnv2_dense.errors import UserError
from mnv2_dense.formats.box_set import BoxSet
from mnv2_dense.formats.yolo import read_yolo
from mnv2_dense.formats.yolo_names import find_names
from tests.formats.three_formats import draw, write_yolo, yolo_line

LINE = yolo_line(("dog", 4, 5, 10, 10))


def read(root: Path, split: str = "train") -> BoxSet:
    return read_yolo(root, split, None, None, upright=False)


def names(boxes: BoxSet) -> list[str]:
    return [category.name for category in boxes.categories]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A data set without data.yaml."""
    write_yolo(tmp_path)
    (tmp_path / "data.yaml").unlink()
    return tmp_path


@pytest.mark.parametrize("place", ["classes.txt", "labels/classes.txt"])
def test_classes_of_labelimg_and_label_studio(root: Path, place: str) -> None:
    assert find_names(root) is None
    (root / place).write_text("cat\ndog\n")
    boxes = read(root)
    assert (names(boxes), len(boxes.annotations)) == (["cat", "dog"], 3)
    assert boxes.source == root / place
    with pytest.raises(UserError, match=r"does not say where the val .* data\.val_share"):
        read(root, "val")


@pytest.mark.parametrize(
    ("images", "labels"), [("images", "labels"), ("Images", "Labels"), (".", ".")]
)
def test_folders_that_are_not_split(tmp_path: Path, images: str, labels: str) -> None:
    draw(tmp_path / images, ["a", "b"])
    (tmp_path / labels).mkdir(exist_ok=True)
    (tmp_path / labels / "b.txt").write_text(LINE)
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    boxes = read(tmp_path)
    assert [entry["image_id"] for entry in boxes.annotations] == [2]
    assert boxes.problems == []


def test_classes_without_labels_are_no_yolo(tmp_path: Path) -> None:
    draw(tmp_path / "images", ["a"])
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    assert find_names(tmp_path) is None


def cvat(root: Path, data: str = "classes = 2\nnames = data/obj.names\n") -> None:
    """CVAT's "YOLO 1.1"."""
    draw(root / "obj_train_data", ["a", "b"])
    (root / "obj_train_data/a.txt").write_text(LINE)
    (root / "obj_train_data/b.txt").write_text("")
    (root / "obj.names").write_text("cat\ndog\n")
    (root / "obj.data").write_text(f"{data}train = data/train.txt\nbackup = backup/\n")
    lines = "data/obj_train_data/a.png\ndata/obj_train_data/b.png\n"
    (root / "train.txt").write_text(lines)


def test_cvats_obj_data(tmp_path: Path) -> None:
    cvat(tmp_path)
    boxes = read(tmp_path)
    assert (names(boxes), len(boxes.images), len(boxes.annotations)) == (["cat", "dog"], 2, 1)
    assert boxes.problems == []


def test_mistakes_in_obj_data(tmp_path: Path) -> None:
    cvat(tmp_path, "classes = 3\nnames = data/obj.names\n")
    with pytest.raises(UserError, match=r"obj\.data: classes = 3, but there are 2 names"):
        read(tmp_path)
    cvat(tmp_path, "")
    with pytest.raises(UserError, match=r"obj\.data: does not name the file of the classes"):
        read(tmp_path)
    (tmp_path / "other.data").write_text("x")
    with pytest.raises(UserError, match=r"several files.*obj\.data.*other\.data"):
        read(tmp_path)


def test_cvats_lists_below_data(root: Path) -> None:
    (root / "data.yaml").write_text("path: ./\ntrain: train.txt\nnames: {0: cat, 1: dog}\n")
    (root / "train.txt").write_text("data/images/train/a.png\ndata/images/train/c.png\n")
    boxes = read(root)
    assert (len(boxes.images), len(boxes.annotations), boxes.problems) == (2, 3, [])


@pytest.mark.parametrize(
    "text", [r"train: images\train", r"train: .\images\train", r"train: ..\images\train"]
)
def test_paths_of_windows(root: Path, text: str) -> None:
    (root / "data.yaml").write_text(f"path: C:\\data\n{text}\nnames: [cat, dog]\n")
    assert len(read(root).annotations) == 3
    (root / "data.yaml").write_text("train: train.txt\nnames: [cat, dog]\n")
    (root / "train.txt").write_text(".\\images\\train\\a.png\nimages\\train\\c.png\n")
    boxes = read(root)
    assert (len(boxes.annotations), boxes.problems) == (3, [])
