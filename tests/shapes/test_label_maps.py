import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from mnv2_dense.drawing import class_palette
from mnv2_dense.shapes import LABEL_NAMES, generate
from mnv2_dense.shapes.canvas import SceneObject
from mnv2_dense.shapes.label_maps import VOID, draw_label_map
from mnv2_dense.shapes.outlines import SHAPE_CLASSES
from mnv2_dense.shapes.scene import Scene
from mnv2_dense.structures import IGNORE_INDEX

TRAIN, VAL, SIZE = 70, 20, 96
SPLITS = ("train2017", "val2017")

# The type checker's stub of pycocotools knows only one of the argument types it takes.
COCO_MASK: Any = coco_mask
# pycocotools 2.0.11 unpacks run-length codes with a call that NumPy 2 deprecates.
UNPACKS = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shapes") / "shapes"
    generate(folder, train_images=TRAIN, val_images=VAL, size=SIZE, seed=7)
    return folder


def read(root: Path, split: str) -> dict[str, Any]:
    return json.loads((root / "annotations" / f"instances_{split}.json").read_text())


def read_map(root: Path, split: str, image_id: int) -> np.ndarray:
    with Image.open(root / "label_maps" / split / f"{image_id:012d}.png") as picture:
        return np.asarray(picture)


def decode(segmentation: dict[str, Any]) -> np.ndarray:
    if isinstance(segmentation["counts"], list):
        segmentation = COCO_MASK.frPyObjects(segmentation, *segmentation["size"])
    return COCO_MASK.decode(segmentation).astype(bool)


def test_names_are_background_and_the_categories_in_their_order(root: Path) -> None:
    categories = read(root, "train2017")["categories"]
    names = [category["name"] for category in categories]
    assert list(LABEL_NAMES) == ["background", *names]
    assert categories == sorted(categories, key=lambda category: category["id"])
    assert VOID == IGNORE_INDEX


@pytest.mark.parametrize("split", SPLITS)
def test_every_picture_has_a_palette_map_of_its_size(root: Path, split: str) -> None:
    maps = sorted((root / "label_maps" / split).iterdir())
    assert [path.name for path in maps] == [
        f"{image['id']:012d}.png" for image in read(root, split)["images"]
    ]
    palette = [value for colour in class_palette() for value in colour]
    for path in maps[:10]:
        with Image.open(path) as picture:
            assert picture.format == "PNG"
            assert picture.mode == "P"
            assert picture.size == (SIZE, SIZE)
            assert picture.getpalette() == palette


@UNPACKS
@pytest.mark.parametrize("split", SPLITS)
def test_maps_agree_with_the_coco_masks(root: Path, split: str) -> None:
    document = read(root, split)
    labels = {c["id"]: LABEL_NAMES.index(c["name"]) for c in document["categories"]}
    expected = {image["id"]: np.zeros((SIZE, SIZE), dtype=np.uint8) for image in document["images"]}
    for annotation in document["annotations"]:
        value = 255 if annotation["iscrowd"] else labels[annotation["category_id"]]
        expected[annotation["image_id"]][decode(annotation["segmentation"])] = value
    for image_id, label_map in expected.items():
        np.testing.assert_array_equal(read_map(root, split, image_id), label_map)


def test_every_value_is_met(root: Path) -> None:
    maps = [read_map(root, "train2017", image_id) for image_id in range(1, TRAIN + 1)]
    assert set(np.unique(maps)) == {*range(len(LABEL_NAMES)), 255}


def test_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    digests = []
    for name in ("a", "b"):
        generate(tmp_path / name, train_images=5, val_images=3, size=SIZE, seed=1)
        paths = sorted((tmp_path / name / "label_maps").rglob("*.png"))
        digests.append([hashlib.sha256(path.read_bytes()).hexdigest() for path in paths])
    assert digests[0] == digests[1]
    assert len(digests[0]) == 8


def test_a_scene_by_hand() -> None:
    """Instance 1 is a crowd; 2 and 3 are a heart and a disc, the 8th and the first category."""
    by_name = {shape.name: shape for shape in SHAPE_CLASSES}
    scene = Scene(
        picture=np.zeros((2, 3, 3), dtype=np.uint8),
        instances=np.array([[0, 1, 1], [2, 3, 0]], dtype=np.uint8),
        objects=(
            SceneObject(by_name["star"], crowd=True),
            SceneObject(by_name["heart"], crowd=False),
            SceneObject(by_name["disc"], crowd=False),
        ),
    )
    label_map = draw_label_map(scene)
    assert label_map.dtype == np.uint8
    np.testing.assert_array_equal(label_map, [[0, 255, 255], [8, 1, 0]])
