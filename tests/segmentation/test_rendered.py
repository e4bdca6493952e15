import json
from collections import defaultdict
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mnv2_dense.errors import UserError
from mnv2_dense.formats.class_names import VOC_CLASSES, find_name
from mnv2_dense.formats.coco import read_coco
from mnv2_dense.formats.outlines import draw_outlines
from mnv2_dense.segmentation.data import SegmentationDataset
from mnv2_dense.segmentation.rendered import RenderedIndex, index_outlines, render
from mnv2_dense.segmentation.transforms import EvalTransform
from mnv2_dense.structures import IGNORE_INDEX, Category, ImageSize, SampleKey

WIDTH, HEIGHT = 40, 30
NAMES = ("background", "cat", "sofa")


def box(left: int, top: int, right: int, bottom: int) -> list[list[float]]:
    return [[left, top, right, top, right, bottom, left, bottom]]


def annotation(number: int, image_id: int, category_id: int, segmentation: object) -> Any:
    return {
        "id": number,
        "image_id": image_id,
        "category_id": category_id,
        "bbox": [0, 0, 10, 10],
        "area": 100,
        "segmentation": segmentation,
    }


class Folder:
    """Two pictures, a cat on a couch before a dog, and a crowd of cats."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for number in (5, 70):
            Image.new("RGB", (WIDTH, HEIGHT)).save(root / f"{number}.png")
        crowd = np.zeros((HEIGHT, WIDTH), int)
        crowd[:, 30:] = 1
        self.content: Any = {
            "images": [
                {"id": number, "file_name": f"{number}.png", "width": WIDTH, "height": HEIGHT}
                for number in (70, 5)
            ],
            "categories": [
                {"id": 17, "name": "cat"},
                {"id": 63, "name": "couch"},
                {"id": 18, "name": "dog"},
            ],
            "annotations": [
                annotation(1, 5, 17, box(0, 0, 10, 10)),
                annotation(2, 5, 63, box(5, 0, 15, 10)),
                annotation(3, 5, 17, box(8, 10, 12, 20)),
                annotation(4, 5, 18, box(0, 20, 40, 30)),
                {
                    **annotation(5, 70, 17, {"size": [HEIGHT, WIDTH], "counts": [900, 300]}),
                    "iscrowd": 1,
                },
            ],
        }

    def read(self, names: tuple[str, ...] = NAMES, **options: Any) -> RenderedIndex:
        file = self.root / "instances.json"
        file.write_text(json.dumps(self.content))
        return index_outlines(read_coco(file, self.root), names, **options)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def test_label_maps_of_the_chosen_classes(folder: Folder) -> None:
    index = folder.read()
    assert index.categories == tuple(Category(label, name) for label, name in enumerate(NAMES))
    assert [index.image_id(i) for i in range(2)] == ["5", "70"]
    expected = np.zeros((HEIGHT, WIDTH), np.uint8)
    expected[:10, :5] = 1
    expected[:10, 5:10] = IGNORE_INDEX  # cat or couch
    expected[:10, 10:15] = 2
    expected[10:20, 8:12] = 1
    label_map = index.label_map(0)
    assert label_map.dtype == np.uint8
    assert label_map.flags["C_CONTIGUOUS"]
    assert (label_map == expected).all()
    crowd = index.label_map(1)
    assert (crowd[:, 30:] == IGNORE_INDEX).all()
    assert not crowd[:, :30].any()


def test_overlaps_of_one_class_keep_it() -> None:
    size = ImageSize(4, 4)
    label_map = render([(3, 0, box(0, 0, 3, 3)), (3, 0, box(1, 1, 4, 4))], size)
    assert set(label_map.ravel().tolist()) == {0, 3}
    assert label_map[2, 2] == 3
    assert (render([], size) == 0).all()


def test_the_order_of_instances_does_not_matter(folder: Folder) -> None:
    first = folder.read().label_map(0)
    folder.content["annotations"].reverse()
    assert (folder.read().label_map(0) == first).all()


def test_samples_are_read_from_it(folder: Folder) -> None:
    sample = SegmentationDataset(folder.read(), EvalTransform())[SampleKey(0, 0)]
    assert sample.image.shape == (3, HEIGHT, WIDTH)
    assert (sample.label_map.numpy() == folder.read().label_map(0)).all()


def test_some_of_the_pictures(folder: Folder) -> None:
    chosen = folder.read().choose([1])
    assert (len(chosen), chosen.image_id(0)) == (1, "70")
    assert chosen.path(0) == folder.root / "70.png"
    assert (chosen.label_map(0) == folder.read().label_map(1)).all()


def test_other_processes_share_the_memory(folder: Folder) -> None:
    folder.content["annotations"] = [
        annotation(number, 5, 17, box(0, 0, 10, 10)) for number in range(5000)
    ]
    assert len(ForkingPickler.dumps(folder.read())) < 10_000


def test_pictures_with_little_to_see_are_left_out(folder: Folder) -> None:
    assert len(folder.read(min_area=100)) == 2
    index = folder.read(min_area=101)
    assert [index.image_id(i) for i in range(len(index))] == ["5"]
    with pytest.raises(UserError, match=r"instances\.json: no picture is left.*min_object_area"):
        folder.read(min_area=1e6)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("cat", "sofa"), r"data\.classes begins with 'cat'.*'background'"),
        (("background", "horse"), r"no class named horse.*it has cat, dog, couch"),
        (("background", "sofa", "couch"), "names one class twice"),
    ],
)
def test_classes_that_the_file_lacks(folder: Folder, names: tuple[str, ...], words: str) -> None:
    with pytest.raises(UserError, match=words):
        folder.read(names)


def test_malformed_outlines_are_named_by_their_annotation(folder: Folder) -> None:
    first, second, third, other, _ = folder.content["annotations"]
    first["segmentation"] = [[1, 2, 3, 4]]
    third["segmentation"] = {"size": [1, 1], "counts": "0"}
    del second["segmentation"]
    other["segmentation"] = "of a class that is not asked for"
    with pytest.raises(UserError) as caught:
        folder.read()
    text = str(caught.value)
    assert "no segmentation (outline) for annotation ids 2\n" in text
    assert "for annotation ids 1, 3" in text


def test_pictures_of_another_size_are_named(folder: Folder) -> None:
    Image.new("RGB", (HEIGHT, WIDTH)).save(folder.root / "70.png")
    with pytest.raises(UserError, match=r"70\.png: .*40 x 30.*30 x 40.*swapped"):
        folder.read()
    index = folder.read(check_sizes=False)
    with pytest.raises(UserError, match=r"instances\.json image id 70: the mask is 40 x 30"):
        SegmentationDataset(index, EvalTransform())[SampleKey(1, 0)]


def test_a_bomb_of_a_size_is_refused(folder: Folder) -> None:
    folder.content["images"][0] |= {"width": 10**6, "height": 10**6}
    with pytest.raises(UserError, match=r"more than 178,956,970 pixels, image ids 70"):
        folder.read(check_sizes=False)


def test_mistakes_of_the_file_are_refused(folder: Folder) -> None:
    folder.content["annotations"][0]["category_id"] = 99
    with pytest.raises(UserError, match=r"category_id is missing .* annotation ids 1"):
        folder.read()


def test_upright_pictures(folder: Folder) -> None:
    exif = Image.Exif()
    exif[274] = 6
    Image.new("RGB", (HEIGHT, WIDTH)).save(folder.root / "5.png", exif=exif)
    index = folder.read(upright=True)
    assert index.image(0).shape == (HEIGHT, WIDTH, 3)
    assert folder.read(check_sizes=False).image(0).shape == (WIDTH, HEIGHT, 3)


def test_real_pictures_on_vocs_classes(shared: Path) -> None:
    """Pixel for pixel what planes of the classes give; outlines are checked by themselves."""
    root = shared / "data" / "coco"
    boxes = read_coco(root / "annotations" / "instances_val2017.json", root / "val2017")
    index = index_outlines(boxes, VOC_CLASSES)
    known = [category.name for category in boxes.categories]
    labels = {find_name(name, known): label for label, name in enumerate(VOC_CLASSES) if label}
    assert None not in labels
    by_id = {number: labels.get(name) for number, name in boxes.categories}
    entries = defaultdict(list)
    for entry in boxes.annotations:
        if by_id[entry["category_id"]]:
            entries[entry["image_id"]].append(entry)
    seen: set[int] = set()
    for position in range(0, len(index), 4):
        size = ImageSize(*index.sizes[position].tolist())
        claims = np.zeros((len(VOC_CLASSES) + 1, *size), bool)
        for entry in entries[int(index.image_id(position))]:
            label = -1 if entry["iscrowd"] else by_id[entry["category_id"]]
            assert label is not None
            claims[label] |= draw(entry["segmentation"], size)
        expected = claims.argmax(0)
        expected[(claims.sum(0) > 1) | claims[-1]] = IGNORE_INDEX
        found = index.label_map(position)
        assert (found == expected).all(), index.image_id(position)
        seen |= set(np.unique(found).tolist())
    assert {0, 15, IGNORE_INDEX} < seen


def draw(segmentation: Any, size: ImageSize) -> np.ndarray:
    """Without what is tested: plain runs are decoded here, polygons by pycocotools."""
    if isinstance(segmentation, list):
        return draw_outlines([segmentation], size)
    runs = np.repeat(np.arange(len(segmentation["counts"])) % 2 == 1, segmentation["counts"])
    return runs.reshape(size.width, size.height).T
