import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mnv2_dense.caching.enlarged import (
    CachedDetectionIndex,
    EnlargedDetectionIndex,
    EnlargedSegmentationIndex,
    enlarge_masks,
)
from mnv2_dense.caching.manifest import TABLE, Manifest
from mnv2_dense.caching.table import Entry, Stamp, Table
from mnv2_dense.detection.targets import build_index
from mnv2_dense.errors import UserError
from mnv2_dense.segmentation.index import SegmentationIndex
from mnv2_dense.segmentation.masks import MaskRule
from mnv2_dense.structures import Category, ImageSize
from tests.formats.box_sets import HEIGHT, WIDTH, annotation, box_set

CATEGORIES = (Category(0, "background"), Category(1, "cat"))
SMALL = [[0, 1], [1, 0]]
ORIGINAL = [[0, 1, 1, 1], [0, 0, 1, 1], [1, 1, 0, 0], [1, 1, 0, 0]]


def test_boxes_stay_and_smaller_pictures_grow(tmp_path: Path) -> None:
    boxes = box_set(tmp_path, annotation(1, 1, 5, 4, 3, 20, 12), names={1: "a.png"})
    Image.new("RGB", (WIDTH // 2, HEIGHT // 2), (9, 8, 7)).save(tmp_path / "a.png")
    plain = build_index(boxes, upright=True)
    index = pickle.loads(pickle.dumps(EnlargedDetectionIndex(plain)))
    image = index.image(0)
    assert image.shape == (HEIGHT, WIDTH, 3)
    assert np.unique(image).tolist() == [7, 8, 9]
    assert index.targets(0).boxes.tolist() == [[4, 3, 24, 15]]
    assert (index.size(0), index.upright) == (ImageSize(HEIGHT, WIDTH), True)
    with pytest.raises(UserError, match="misplaced"):
        plain.image(0)


def test_training_reads_pictures_of_the_annotated_size(tmp_path: Path) -> None:
    boxes = box_set(tmp_path, names={1: "a.jpg", 2: "b.png"})
    index = CachedDetectionIndex(build_index(boxes))
    assert [index.image(position).shape for position in range(2)] == [(HEIGHT, WIDTH, 3)] * 2
    Image.new("RGB", (WIDTH, HEIGHT + 1)).save(tmp_path / "a.jpg")
    with pytest.raises(UserError, match="misplaced"):
        index.image(0)


def test_a_picture_larger_than_its_original_is_refused(tmp_path: Path) -> None:
    boxes = box_set(tmp_path, names={1: "a.png"})
    Image.new("RGB", (WIDTH, HEIGHT + 1)).save(tmp_path / "a.png")
    with pytest.raises(UserError, match=r"40 x 31 pixels, but its original has 40 x 30"):
        EnlargedDetectionIndex(build_index(boxes)).image(0)


def save_mask(root: Path, name: str, labels: list[list[int]]) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.array(labels, np.uint8)).save(path)
    return path


@pytest.fixture
def index(tmp_path: Path) -> SegmentationIndex:
    """A picture and a mask that were made smaller, and one of each that were not."""
    table = Table(tmp_path, {})
    (tmp_path / "images").mkdir()
    paths: list[Path] = []
    for name, cached in (("a", ImageSize(2, 2)), ("b", ImageSize(4, 4))):
        file = f"images/{name}.png"
        Image.new("RGB", (cached.width, cached.height), (5, 5, 5)).save(tmp_path / file)
        paths.append(tmp_path / file)
        table.add(Entry(f"images/{name}", (Stamp("", 1, 1),), ImageSize(4, 4), cached, {file: 1}))
    masks = [
        save_mask(tmp_path, "masks/a.png", SMALL),
        save_mask(tmp_path, "masks/b.png", ORIGINAL),
    ]
    save_mask(tmp_path, "originals/masks/a.png", ORIGINAL)
    return SegmentationIndex(CATEGORIES, ["a", "b"], paths, masks, MaskRule(2), upright=True)


def enlarge(index: SegmentationIndex, root: Path, *, measured: bool) -> EnlargedSegmentationIndex:
    return enlarge_masks(index, Manifest(root, {}), measured=measured)


def test_training_sees_cached_masks_at_the_original_size(
    index: SegmentationIndex, tmp_path: Path
) -> None:
    found = pickle.loads(pickle.dumps(enlarge(index, tmp_path, measured=False)))
    assert found.image(0).shape == found.image(1).shape == (4, 4, 3)
    assert found.label_map(0).tolist() == [[0, 0, 1, 1]] * 2 + [[1, 1, 0, 0]] * 2
    assert found.label_map(1).tolist() == ORIGINAL
    assert (found.image_id(1), found.upright, found.rule) == ("b", True, MaskRule(2))


def test_original_masks_are_measured(index: SegmentationIndex, tmp_path: Path) -> None:
    found = enlarge(index, tmp_path, measured=True)
    assert [found.label_map(position).tolist() for position in range(2)] == [ORIGINAL, ORIGINAL]
    chosen = found.choose([1, 0])
    assert chosen.image_id(0) == "b"
    assert chosen.sizes.tolist() == [[[4, 4], [4, 4]], [[4, 4], [2, 2]]]
    assert chosen.label_map(1).tolist() == ORIGINAL


def test_a_picture_that_the_table_lacks_is_named(index: SegmentationIndex, tmp_path: Path) -> None:
    lines = (tmp_path / TABLE).read_text().splitlines(keepends=True)
    (tmp_path / TABLE).write_text("".join(lines[:-1]))
    with pytest.raises(UserError, match=r"b\.png: is not in .*prepare the cache anew"):
        enlarge(index, tmp_path, measured=True)
