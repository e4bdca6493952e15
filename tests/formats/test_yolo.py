import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from mnv2_dense.detection.targets import build_index
from mnv2_dense.errors import UserError
from mnv2_dense.formats.box_set import BoxSet
from mnv2_dense.formats.coco import read_coco
from mnv2_dense.formats.problems import Level
from mnv2_dense.formats.yolo import read_yolo
from mnv2_dense.structures import Category
from tests.formats.three_formats import draw, write_coco, write_yolo, yolo_line

SPOILT = st.sampled_from(
    [
        b"\0",
        b"\x1b[2J",
        b"\xff",
        b"../",
        b"/etc/",
        b"C:\\",
        b"&a ",
        b"*a",
        b"[" * 50,
        b"nan",
        b"1e999",
    ]
)


def read(root: Path, split: str = "train", images: str | None = None) -> BoxSet:
    return read_yolo(root, split, images, None, upright=False)


def kinds(boxes: BoxSet, level: Level = Level.ERROR) -> list[tuple[str, str]]:
    return [(each.kind, each.place) for each in boxes.problems if each.level == level]


def label(root: Path, key: str, text: str) -> None:
    (root / "labels/train" / f"{key}.txt").write_text(text)


def write_yaml(root: Path, text: str, name: str = "data.yaml") -> None:
    (root / name).write_text(text)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_yolo(tmp_path)
    return tmp_path


def test_same_index_as_of_coco(root: Path, tmp_path: Path) -> None:
    (tmp_path / "coco").mkdir()
    write_coco(tmp_path / "coco")
    expected = build_index(read_coco(tmp_path / "coco/annotations.json", tmp_path / "coco/images"))
    index = build_index(read(root))
    np.testing.assert_allclose(index.boxes, expected.boxes, atol=1e-5)
    assert index.labels.tolist() == expected.labels.tolist()
    assert index.box_offsets.tolist() == expected.box_offsets.tolist()
    assert index.categories == expected.categories == (Category(0, "cat"), Category(1, "dog"))
    assert [index.size(i) for i in range(3)] == [expected.size(i) for i in range(3)]
    assert index.box_report.message() is None


def test_records_by_hand(root: Path) -> None:
    label(root, "b", "\ufeff\n1.0 0.5 0.5 0.5 0.25\r\n")
    boxes = read(root)
    assert boxes.image_folder == root / "images/train"
    assert boxes.source == root / "data.yaml"
    assert boxes.images[1] == {"id": 2, "file_name": "b.png", "width": 40, "height": 20}
    assert boxes.annotations[2] == {
        "id": 3,
        "image_id": 2,
        "category_id": 1,
        "place": "b.txt line 2",
        "bbox": [10, 7.5, 20, 5],
        "iscrowd": 0,
        "difficult": 0,
    }
    assert boxes.problems == []


def test_outlines_become_their_extent(root: Path) -> None:
    label(root, "b", "0 0.25 0.5 0.5 0.25 0.75 1\n0 nan 0.5 0.5 0.25 0.75 1\n")
    boxes = read(root)
    assert boxes.annotations[2]["bbox"] == [10, 5, 20, 15]
    assert kinds(boxes, Level.NOTE) == [("outline", "b.txt line 1"), ("outline", "b.txt line 2")]
    assert build_index(boxes).box_report.first_dropped == ("b.txt line 2",)


def test_lines_that_stand_twice(root: Path) -> None:
    label(root, "b", "0 .5 .5 .5 .5\n0 0.50 .5 .5 .5\n1 .5 .5 .5 .5\n")
    boxes = read(root)
    assert kinds(boxes, Level.PROBLEM) == [("duplicate_box", "b.txt line 2")]
    assert [entry["place"] for entry in boxes.annotations[2:4]] == ["b.txt line 1", "b.txt line 3"]


def test_values_out_of_the_picture_are_left_to_the_box_rule(root: Path) -> None:
    label(root, "b", "0 .9 .5 1.2 .5\n0 .5 .5 -.1 .5\n0 nan .5 .1 .5\n0 1.000001 .5 .1 .5\n")
    boxes = read(root)
    assert kinds(boxes) == []
    assert [place for _, place in kinds(boxes, Level.PROBLEM)] == ["b.txt line 1", "b.txt line 2"]
    report = build_index(boxes).box_report
    assert report.first_clipped == ("b.txt line 1", "b.txt line 4")
    assert report.first_dropped == ("b.txt line 2", "b.txt line 3")


LINE_MISTAKES = [
    ("0 .5 .5 .5", "bad_line", "4 columns"),
    ("0 .5 .5 .5 .5 .9", "bad_line", ""),
    ("0 .1 .2 .3 .4 .5 .6 .7", "bad_line", "8 columns"),
    ("cat .5 .5 .5 .5", "bad_line", "cat .5 .5 .5 .5"),
    ("0 .5 .5 .5 x", "bad_line", "0 .5 .5 .5 x"),
    ("2 .5 .5 .5 .5", "unknown_class", "2"),
    ("-1 .5 .5 .5 .5", "unknown_class", "-1"),
    ("0.5 .5 .5 .5 .5", "unknown_class", "0.5"),
    ("nan .5 .5 .5 .5", "unknown_class", "nan"),
    ("0 20 10 8 4", "not_normalised", "20 10 8 4"),
    ("0 0_5 .5 .5 .5", "bad_line", "0 0_5 .5 .5 .5"),
    ("0_1 .5 .5 .5 .5", "bad_line", "0_1 .5 .5 .5 .5"),
]


@pytest.mark.parametrize(("line", "kind", "detail"), LINE_MISTAKES)
def test_mistakes_in_lines(root: Path, line: str, kind: str, detail: str) -> None:
    label(root, "b", f"0 .5 .5 .5 .5\n{line}\n")
    boxes = read(root)
    place = "b.txt line 2" + (f" ({detail})" if detail else "")
    assert kinds(boxes) == [(kind, place)]
    assert len(boxes.annotations) == 4
    with pytest.raises(UserError, match=r"b\.txt line 2"):
        build_index(boxes)


def test_files_that_cannot_be_read(root: Path) -> None:
    (root / "labels/train/b.txt").write_bytes(b"\xff\xfe0 .5")
    (root / "images/train/c.png").write_bytes(b"no picture")
    boxes = read(root)
    assert [kind for kind, _ in kinds(boxes)] == ["unreadable_picture", "unreadable_labels"]
    assert "c.png" in kinds(boxes)[0][1]
    assert "b.txt" in kinds(boxes)[1][1]
    assert [each["file_name"] for each in boxes.images] == ["a.png", "b.png"]


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_labels_that_are_no_file_are_not_a_picture_without_boxes(
    root: Path, make: Callable[[Path], None]
) -> None:
    labels = root / "labels/train/b.txt"
    labels.unlink(missing_ok=True)
    make(labels)
    assert [kind for kind, _ in kinds(read(root))] == ["unreadable_labels"]


def test_orientation(root: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 20)).save(root / "images/train/b.png", exif=exif)
    label(root, "b", "0 .5 .5 .5 .5\n")
    assert read(root).annotations[2]["bbox"] == [10, 5, 20, 10]
    turned = read_yolo(root, "train", None, None, upright=True)
    assert turned.annotations[2]["bbox"] == [5, 10, 10, 20]
    assert (turned.images[1]["width"], turned.images[1]["height"]) == (20, 40)


def test_no_label_file_at_all(root: Path) -> None:
    for file in (root / "labels/train").iterdir():
        file.unlink()
    with pytest.raises(UserError, match=r"no label file of a train picture \(looked in .*labels"):
        read(root)


def test_labels_beside_the_pictures(tmp_path: Path) -> None:
    draw(tmp_path / "set", ["a", "b"])
    (tmp_path / "set/a.txt").write_text(yolo_line(("dog", 4, 5, 10, 10)))
    write_yaml(tmp_path, "train: set\nnames: {1: dog, 0: cat}\n")
    boxes = read(tmp_path)
    assert [entry["category_id"] for entry in boxes.annotations] == [1]
    assert boxes.annotations[0]["bbox"] == pytest.approx([4, 5, 10, 10])
    assert len(boxes.images) == 2


def test_labels_without_a_picture(root: Path) -> None:
    for name in ("gone.txt", "classes.txt", "._a.txt", "notes.md"):
        (root / "labels/train" / name).write_text("0 .5 .5 .5 .5")
    boxes = read(root)
    assert kinds(boxes, Level.PROBLEM) == [("unused_label", str(root / "labels/train/gone.txt"))]
    (root / "images/train/a.png").rename(root / "images/train/0.PNG")
    unused = [place for _, place in kinds(read(root), Level.PROBLEM)]
    assert unused == [str(root / f"labels/train/{key}.txt") for key in ("a", "gone")]


def test_labels_of_another_splits_pictures_are_not_unused(tmp_path: Path) -> None:
    draw(tmp_path, ["a", "b"])
    for name in ("a", "b", "stray"):
        (tmp_path / f"{name}.txt").write_text(yolo_line(("dog", 4, 5, 10, 10)))
    for split, key in (("train", "a"), ("val", "b")):
        (tmp_path / f"{split}.txt").write_text(f"./{key}.png\n")
    write_yaml(tmp_path, "train: train.txt\nval: val.txt\nnames: [cat, dog]\n")
    boxes = read(tmp_path)
    assert [each["file_name"] for each in boxes.images] == ["a.png"]
    assert kinds(boxes, Level.PROBLEM) == [("unused_label", str(tmp_path / "stray.txt"))]


def test_a_choice_of_pictures_is_all_that_is_read(root: Path) -> None:
    (root / "images/train/a.png").write_bytes(b"no picture")
    asked: list[list[str]] = []

    def last(names: Sequence[str]) -> list[int]:
        asked.append([*names])
        return [2]

    boxes = read_yolo(root, "train", None, None, upright=False, choose=last)
    assert asked == [["a.png", "b.png", "c.png"]]
    assert [each["file_name"] for each in boxes.images] == ["c.png"]
    assert len(boxes.annotations) == 1
    assert boxes.problems == []


def test_the_last_folder_images_becomes_labels(tmp_path: Path) -> None:
    write_yolo(tmp_path / "images" / "pets")
    assert len(read(tmp_path / "images" / "pets").annotations) == 3


def test_without_a_yaml(root: Path) -> None:
    (root / "data.yaml").unlink()
    boxes = read_yolo(root, "train", "images/train", ["x", "y"], upright=False)
    assert [category.name for category in boxes.categories] == ["x", "y"]
    assert boxes.source == root
    for images, names in (("images/train", None), (None, ["x", "y"])):
        with pytest.raises(UserError, match=r"no data\.yaml with names .* data\.train_images"):
            read_yolo(root, "train", images, names, upright=False)
    with pytest.raises(UserError, match="no such folder"):
        read(root / "gone")


PLACES = [
    "train: images/train",
    "path: .\ntrain: ./images/train",
    "path: ''\ntrain: images/train/",
    "path: null\ntrain: [images/train]",
    "train: ../images/train",
    "path: /content/on/another/machine\ntrain: images/train",
    "path: ../datasets/gone\ntrain: images/train",
    "path: images\ntrain: train",
    "train: images/train/../train",
]


@pytest.mark.parametrize("text", PLACES)
def test_where_a_yaml_says_the_pictures_are(root: Path, text: str) -> None:
    write_yaml(root, f"{text}\nval:\nnames: [cat, dog]\n")
    boxes = read(root)
    assert boxes.image_folder == root / "images/train"
    assert len(boxes.annotations) == 3
    assert kinds(boxes) == []


def test_yaml_in_another_folder_and_as_root(root: Path, tmp_path: Path) -> None:
    (tmp_path / "configs").mkdir()
    write_yaml(
        tmp_path / "configs", f"path: {root}\ntrain: images/train\nnames: [cat, dog]", "x.yml"
    )
    assert len(read(tmp_path / "configs").annotations) == 3
    assert len(read(tmp_path / "configs" / "x.yml").annotations) == 3


@pytest.mark.parametrize("key", ["val", "valid", "validation"])
def test_validation_pictures_and_several_folders(root: Path, key: str) -> None:
    draw(root / "images/more", ["d"])
    write_yaml(root, f"train: images/train\n{key}: [images/train, images/more]\nnames: [cat, dog]")
    boxes = read(root, "val")
    assert boxes.image_folder == root / "images"
    names = ["train/a.png", "train/b.png", "train/c.png", "more/d.png"]
    assert [each["file_name"] for each in boxes.images] == names
    assert boxes.annotations[0]["place"] == "labels/train/a.txt line 1"


def test_lists_of_pictures(root: Path, tmp_path: Path) -> None:
    draw(tmp_path / "other/images", ["d"])
    lines = ["./images/train/c.png", "images/train/a.png", f"{tmp_path}/other/images/d.png"]
    (root / "train.txt").write_text("\n".join([*lines, lines[1], "images/train/gone.png"]))
    write_yaml(root, "train: train.txt\nnames: [cat, dog]")
    boxes = read(root)
    names = ["images/train/c.png", "images/train/a.png", "other/images/d.png"]
    assert [each["file_name"] for each in boxes.images] == names
    assert all((boxes.image_folder / name).is_file() for name in names)
    assert kinds(boxes) == [("missing_picture", str(root / "images/train/gone.png"))]
    assert kinds(boxes, Level.PROBLEM) == [("listed_twice", str(root / "images/train/a.png"))]


def test_pictures_not_found(root: Path) -> None:
    with pytest.raises(UserError, match=r"does not say where the val .* data\.val_share"):
        read(root, "val")
    with pytest.raises(UserError, match=r"train pictures not found.*nowhere.*data\.train_images"):
        read(root, images="nowhere")
    (root / "images/empty").mkdir()
    with pytest.raises(UserError, match="no pictures in this folder"):
        read(root, images="images/empty")


def test_names_are_texts(root: Path) -> None:
    write_yaml(root, "train: images/train\nnc: 3\nnames: [no, 0x10, ü]\n")
    assert [category.name for category in read(root).categories] == ["no", "0x10", "ü"]


def test_which_yaml(root: Path) -> None:
    write_yaml(root, "names: [x]\n", "hyperparameters.yaml")
    assert read(root).source == root / "data.yaml"
    (root / "data.yaml").rename(root / "pets.yml")
    with pytest.raises(UserError, match=r"several files .*hyperparameters\.yaml, pets\.yml"):
        read(root)
    write_yaml(root, "lr0: 0.1\n", "hyperparameters.yaml")
    assert read(root).source == root / "pets.yml"


BOMB = "a0: &a0 [x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 20)
)
YAML_MISTAKES = [
    (BOMB, r"an alias \(\*\) on line 2"),
    ("names: &a [*a]", "an alias"),
    ("names: [a, b]\nnames: [c]", "names is given twice"),
    ("names: [a", "cannot be read as YAML"),
    ("names:\n\t- a", "cannot be read as YAML"),
    ("[" * 100_000, "nested too deeply"),
    ("- " * 25, "nested too deeply, or"),
    ("names: [" + "a," * 60_000 + "]", "more than 30,000 values"),
    ('names: ["\\UFFFFFFFF"]', "cannot be read as YAML"),
    (f"%YAML {'1' * 5000}.1\n---\na: 1\n", "cannot be read as YAML"),
    ('names: ["\\e[2J"]', r"no text of one line of at most 200 characters: \\x1b\[2J$"),
    ('names: ["a\\nb"]', r"no text of one line of at most 200 characters: a\\nb$"),
    (f"names: [{'a' * 201}]", "no text of one line of at most 200 characters"),
    ('train: "a\\0b"\nnames: [a]', "train has a NUL"),
    (f"train: {'a' * 5000}\nnames: [a]", "more than 1024 characters"),
    (f"nc: {'9' * 90_000}\nnames: [a]", r"nc is 9+\.\.\., but names has 1 classes"),
    ("- a", "it has no keys"),
    ("names: []", "no names of classes"),
    ("train: x", "no names of classes"),
    ("names: coco.names", "must be a list of classes"),
    ("names: [a, [b]]", "must be a text, or a list of texts"),
    ("names: {0: a, 2: b}", "numbered from 0 without gaps"),
    ("names: [a]\nnc: 2", "nc is 2, but names has 1 classes"),
    ("names: [a]\ntrain: {x: y}", "train must be a text"),
    ("names: [a]\npath: [x]", "path is no text"),
    ("names: [a]\nkpt_shape: [17, 3]", "key points"),
    ("names: [a]\n# " + "x" * 600_000, "larger than 512 KiB"),
    ("names: [a]\n---\nnames: [b]", "cannot be read as YAML"),
]


@pytest.mark.parametrize(
    ("text", "problem"), YAML_MISTAKES, ids=[each for _, each in YAML_MISTAKES]
)
def test_mistakes_in_the_yaml(root: Path, text: str, problem: str) -> None:
    write_yaml(root, text)
    started = time.process_time()
    with pytest.raises(UserError, match=problem) as caught:
        read(root)
    assert str(root / "data.yaml") in str(caught.value)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 5000
    assert time.process_time() - started < 5


def test_names_too_long_for_a_file(root: Path) -> None:
    write_yaml(root, f"train: {'a' * 500}\nnames: [a]")
    with pytest.raises(UserError, match="train pictures not found"):
        read(root)
    write_yaml(root, "train: list.txt\nnames: [a]")
    (root / "list.txt").write_text(f"{'a' * 500}.jpg\nb.jpg\n")
    with pytest.raises(UserError, match="no label file of a train picture"):
        read(root)


@pytest.mark.parametrize(
    "line",
    [
        *("/etc/passwd", "//etc/passwd", "/etc/../etc/x.jpg", "../../etc/x.jpg"),
        *("./../../etc/x.jpg", "..\\..\\etc\\x.jpg", "data/../../x"),
    ],
)
def test_pictures_of_a_list_stay_in_the_data_sets_folder(root: Path, line: str) -> None:
    write_yaml(root, "train: list.txt\nnames: [a, b]")
    inside = f"./images/train/a.png\n{root}/images/train/c.png\nimages/train/../train/b.png\n"
    (root / "list.txt").write_text(inside)
    assert [image["file_name"] for image in read(root).images] == ["a.png", "c.png", "b.png"]
    (root / "list.txt").write_text(f"{inside}{line}\n")
    with pytest.raises(UserError, match=r"list\.txt: pictures outside of the data set's folder: /"):
        read(root)


def test_absolute_lines_name_pictures_anywhere(
    root: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = tmp_path_factory.mktemp("other")
    (root / "images/train").rename(other / "pictures")
    (other / "pictures/a.txt").write_text("0 .5 .5 .5 .5\n")
    (other / "secret.jpg").write_text("private")
    lines = [f"/{other}/pictures/a.png", f"{other}/secret.jpg", f"{other}/gone.JPG"]
    (root / "list.txt").write_text("\n".join(lines))
    write_yaml(root, "train: list.txt\nnames: [a, b]")
    boxes = read(root)
    assert [image["file_name"] for image in boxes.images] == ["pictures/a.png"]
    assert [kind for kind, _ in kinds(boxes)] == ["missing_picture", "unreadable_picture"]


@pytest.mark.parametrize("text", ["train: ../", "train: /", "path: /\ntrain: .", "train: link"])
def test_no_folder_above_the_data_sets_is_one_of_pictures(root: Path, text: str) -> None:
    (root / "link").symlink_to(root.parent)
    write_yaml(root, f"{text}\nnames: [a, b]")
    problem = r"data\.yaml: the train pictures' folder .*, above the data set's own"
    with pytest.raises(UserError, match=problem):
        read(root)
    write_yaml(root, "train: .\nnames: [a, b]")
    assert len(read(root).images) == 3


def test_a_yaml_as_roboflow_writes_it(root: Path) -> None:
    """Its places are relative to a folder beside the file."""
    (root / "train").mkdir()
    (root / "images/train").rename(root / "train/images")
    (root / "labels/train").rename(root / "train/labels")
    write_yaml(root, "train: ../train/images\nnc: 2\nnames: ['cat', 'dog']")
    assert len(read(root).annotations) == 3


def test_a_path_of_the_yaml_says_where_pictures_may_be(root: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "list.txt").write_text(f"{root}/images/train/a.png\n")
    write_yaml(root, f"path: {root}\ntrain: {elsewhere}/list.txt\nnames: [cat, dog]")
    assert [image["file_name"] for image in read(root).images] == ["a.png"]


def test_a_pipe_is_no_yaml(root: Path) -> None:
    (root / "data.yaml").unlink()
    os.mkfifo(root / "data.yaml")
    with pytest.raises(UserError, match=r"data\.yaml: cannot be read \(a folder, pipe or device"):
        read(root)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(["data.yaml", "labels/train/a.txt", "list.txt"]),
    st.lists(st.tuples(st.integers(0, 90), st.integers(0, 9), st.binary(max_size=9) | SPOILT)),
)
def test_spoilt_files_are_read_or_refused(
    root: Path, name: str, changes: list[tuple[int, int, bytes]]
) -> None:
    sound = {
        "data.yaml": b"path: .\ntrain: [images/train, list.txt]\nnc: 2\nnames: {0: cat, 1: dog}\n",
        "labels/train/a.txt": b"0 0.5 0.5 0.25 0.25\n1 0.1 0.1 0.9 0.1 0.9 0.9\n",
        "list.txt": b"./images/train/a.png\nimages/train/b.png\n",
    }
    spoilt = sound[name]
    for start, length, put in changes:
        spoilt = spoilt[:start] + put + spoilt[start + length :]
    for each, content in (sound | {name: spoilt}).items():
        (root / each).write_bytes(content)
    message = ""
    try:
        boxes = read(root)
    except UserError as error:
        message = str(error)
    else:
        assert {entry["image_id"] for entry in boxes.annotations} <= {1, 2, 3}
    assert message.isprintable()
    assert len(message) < 20_000


def test_tags_run_nothing(root: Path) -> None:
    write_yaml(root, "train: images/train\nnames: [!!python/name:os.system cat, dog]\n")
    assert [category.name for category in read(root).categories] == ["cat", "dog"]


def test_real_coco_as_yolo(shared: Path, tmp_path: Path) -> None:
    root = shared / "data" / "coco"
    file = root / "annotations" / "instances_val2017.json"
    data = json.loads(file.read_text())
    ids = [entry["id"] for entry in data["categories"]]
    (tmp_path / "labels").mkdir()
    (tmp_path / "images").symlink_to(root / "val2017")
    names = [entry["name"] for entry in data["categories"]]
    write_yaml(tmp_path, json.dumps({"train": "images", "names": names}))
    for image in data["images"]:
        width, height = image["width"], image["height"]
        lines = []
        for entry in data["annotations"]:
            if entry["image_id"] == image["id"] and not entry["iscrowd"]:
                x, y, w, h = entry["bbox"]
                shares = ((x + w / 2) / width, (y + h / 2) / height, w / width, h / height)
                number = ids.index(entry["category_id"])
                lines.append(f"{number} {' '.join(f'{share:.12g}' for share in shares)}\n")
        key = Path(image["file_name"]).stem
        (tmp_path / "labels" / f"{key}.txt").write_text("".join(lines))
    boxes = read(tmp_path)
    assert boxes.problems == []
    index = build_index(boxes)
    expected = build_index(read_coco(file, root / "val2017"))
    np.testing.assert_allclose(index.boxes, expected.boxes, atol=1e-3)
    assert index.labels.tolist() == expected.labels.tolist()
    assert index.box_offsets.tolist() == expected.box_offsets.tolist()
    assert index.box_report.message() is None
