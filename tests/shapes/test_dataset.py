import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from mnv2_dense.errors import UserError
from mnv2_dense.shapes import dataset, generate
from mnv2_dense.shapes.difficulty import Difficulty
from mnv2_dense.shapes.outlines import SHAPE_CLASSES

TRAIN, VAL, SIZE = 160, 40, 128


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shapes") / "data" / "shapes"
    generate(folder, train_images=TRAIN, val_images=VAL, size=SIZE, seed=7)
    return folder


# The type checker's stub of pycocotools knows only one of the argument types it takes.
COCO_MASK: Any = coco_mask
# pycocotools 2.0.11 unpacks run-length codes with a call that NumPy 2 deprecates.
UNPACKS = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def read(root: Path, split: str) -> dict[str, Any]:
    return json.loads((root / "annotations" / f"instances_{split}.json").read_text())


def objects(root: Path) -> list[dict[str, Any]]:
    return [a for a in read(root, "train2017")["annotations"] if not a["iscrowd"]]


def digests(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def test_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        generate(tmp_path / name, train_images=6, val_images=3, size=96, seed=1)
    generate(tmp_path / "c", train_images=6, val_images=3, size=96, seed=2)
    first, second, other = (digests(tmp_path / name) for name in "abc")
    assert first == second
    assert first.keys() == other.keys()
    assert all(first[name] != other[name] for name in first)


def test_a_scene_does_not_depend_on_how_many_are_drawn(tmp_path: Path) -> None:
    generate(tmp_path / "short", train_images=2, val_images=2, size=96, seed=1)
    generate(tmp_path / "long", train_images=5, val_images=2, size=96, seed=1)
    short, long = digests(tmp_path / "short"), digests(tmp_path / "long")
    assert short["train2017/000000000002.jpg"] == long["train2017/000000000002.jpg"]
    assert short["val2017/000000000003.jpg"] == long["val2017/000000000006.jpg"]


@pytest.mark.parametrize(("split", "count"), [("train2017", TRAIN), ("val2017", VAL)])
def test_every_listed_picture_is_there(root: Path, split: str, count: int) -> None:
    images = read(root, split)["images"]
    assert len(images) == count
    assert {image["file_name"] for image in images} == {
        path.name for path in (root / split).iterdir()
    }
    for image in images[:10]:
        with Image.open(root / split / image["file_name"]) as picture:
            assert picture.size == (image["width"], image["height"]) == (SIZE, SIZE)
            assert picture.mode == "RGB"
        assert image["file_name"] == f"{image['id']:012d}.jpg"


@UNPACKS
@pytest.mark.parametrize("split", ["train2017", "val2017"])
def test_pycocotools_reads_tight_boxes_and_areas(
    root: Path, split: str, capsys: pytest.CaptureFixture[str]
) -> None:
    coco = COCO(str(root / "annotations" / f"instances_{split}.json"))
    capsys.readouterr()
    assert coco.anns
    assert min(coco.anns) == 1
    for annotation in coco.anns.values():
        mask: Any = coco.annToMask(annotation)
        rows, columns = (np.unique(indices) for indices in np.nonzero(mask))
        left, top = columns[0], rows[0]
        tight = [left, top, columns[-1] + 1 - left, rows[-1] + 1 - top]
        assert annotation["bbox"] == tight
        assert annotation["area"] == mask.sum()
        assert annotation["category_id"] in coco.cats
        assert annotation["image_id"] in coco.imgs


@UNPACKS
def test_masks_of_a_picture_do_not_overlap_but_boxes_do(root: Path) -> None:
    by_image: dict[int, list[dict[str, Any]]] = {}
    for annotation in objects(root):
        by_image.setdefault(annotation["image_id"], []).append(annotation)
    touching = 0
    for group in by_image.values():
        masks = COCO_MASK.decode([annotation["segmentation"] for annotation in group])
        assert masks.sum(axis=2).max() <= 1
        boxes = np.array([annotation["bbox"] for annotation in group])
        overlap = COCO_MASK.iou(boxes, boxes, [0] * len(boxes))
        # Each box overlaps itself.
        touching += int(np.count_nonzero(overlap > 0.05) > len(boxes))
    assert touching > len(by_image) / 5


def test_all_classes_and_all_sizes_are_present(root: Path) -> None:
    categories = read(root, "train2017")["categories"]
    assert [c["id"] for c in categories] == [shape.category_id for shape in SHAPE_CLASSES]
    assert {a["category_id"] for a in objects(root)} == {c["id"] for c in categories}
    sides = np.array([max(a["bbox"][2:]) for a in objects(root)])
    assert sides.min() < 16
    assert sides.max() > SIZE / 2
    assert np.mean(sides < 24) > 0.05
    assert np.mean((sides >= 24) & (sides < 48)) > 0.1
    assert np.mean(sides >= 48) > 0.1


def test_some_pictures_are_empty_and_some_hold_a_crowd(root: Path) -> None:
    document = read(root, "train2017")
    crowds = [a for a in document["annotations"] if a["iscrowd"]]
    empty = TRAIN - len({a["image_id"] for a in document["annotations"]})
    assert 0.02 * TRAIN <= empty <= 0.15 * TRAIN
    assert 0.02 * TRAIN <= len(crowds) <= 0.15 * TRAIN
    assert all(isinstance(a["segmentation"]["counts"], list) for a in crowds)
    assert all(isinstance(a["segmentation"]["counts"], str) for a in objects(root))


def test_a_mask_that_starts_in_the_corner_gets_a_zero_run() -> None:
    mask = np.zeros((3, 2), dtype=bool)
    mask[0, 0] = mask[2, 1] = True
    assert dataset._run_lengths(mask) == [0, 1, 4, 1]


def test_splits_share_no_id_and_no_picture(root: Path) -> None:
    train, val = read(root, "train2017"), read(root, "val2017")
    assert not {i["id"] for i in train["images"]} & {i["id"] for i in val["images"]}
    pixels = [hash for name, hash in digests(root).items() if name.endswith(".jpg")]
    assert len(set(pixels)) == TRAIN + VAL


def test_parameters_are_written_into_the_file(root: Path) -> None:
    parameters = read(root, "val2017")["info"]["parameters"]
    assert {k: parameters[k] for k in ("train_images", "val_images", "size", "seed")} == {
        "train_images": TRAIN,
        "val_images": VAL,
        "size": SIZE,
        "seed": 7,
    }
    assert parameters["difficulty"] == json.loads(json.dumps(Difficulty()._asdict()))


@pytest.mark.parametrize("kind", ["folder", "file", "dangling link"])
def test_an_existing_root_is_refused_and_left_alone(tmp_path: Path, kind: str) -> None:
    root = tmp_path / "mine"
    if kind == "folder":
        root.mkdir()
    elif kind == "file":
        root.write_text("kept")
    else:
        root.symlink_to(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"mine exists already; remove it or name another"):
        generate(root, train_images=1, val_images=1, size=64, seed=0)
    assert list(tmp_path.iterdir()) == [root]
    assert kind != "file" or root.read_text() == "kept"


@pytest.mark.parametrize("failure", [KeyboardInterrupt, MemoryError])
def test_an_interrupted_generation_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: type[BaseException]
) -> None:
    write = dataset._write_picture
    calls: Iterator[int] = iter(range(100))

    def stop_at_third(path: Path, scene: Any) -> None:
        if next(calls) == 3:
            raise failure
        write(path, scene)

    monkeypatch.setattr(dataset, "_write_picture", stop_at_third)
    with pytest.raises(failure):
        generate(tmp_path / "shapes", train_images=2, val_images=4, size=64, seed=0)
    assert list(tmp_path.iterdir()) == []


def test_a_root_made_meanwhile_is_not_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "shapes"
    write = dataset._write_picture

    def another_process(path: Path, scene: Any) -> None:
        root.mkdir(exist_ok=True)
        (root / "theirs").write_text("kept")
        write(path, scene)

    monkeypatch.setattr(dataset, "_write_picture", another_process)
    with pytest.raises(UserError, match="cannot write the data set"):
        generate(root, train_images=1, val_images=1, size=64, seed=0)
    assert [path.name for path in root.rglob("*")] == ["theirs"]
    assert list(tmp_path.iterdir()) == [root]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train_images": 0}, "train_images is 0; it must be at least 1"),
        ({"val_images": -1}, "val_images is -1; it must be at least 1"),
        ({"size": 63}, "size is 63; it must be at least 64"),
        ({"seed": -1}, "seed is -1; it must be at least 0"),
    ],
)
def test_numbers_out_of_range_are_named(
    tmp_path: Path, change: dict[str, int], message: str
) -> None:
    arguments: dict[str, Any] = {"train_images": 1, "val_images": 1, "size": 64, "seed": 0}
    arguments.update(change)
    with pytest.raises(UserError, match=message):
        generate(tmp_path / "shapes", **arguments)
    assert list(tmp_path.iterdir()) == []


def test_an_unwritable_place_is_a_user_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot write the data set .*shapes"):
        generate(tmp_path / "file" / "shapes", train_images=1, val_images=1, size=64, seed=0)
