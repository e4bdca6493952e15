from pathlib import Path

import numpy as np
from PIL import Image

from mnv2_dense.commands.pictures import enlarge, write_pictures
from mnv2_dense.detection.coco import read_coco
from mnv2_dense.detection.draw import GAP


def test_small_pictures_are_enlarged_by_whole_pixels() -> None:
    image = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    enlarged, factor = enlarge(image)
    assert factor == 160
    assert enlarged.shape == (320, 320, 3)
    assert (enlarged[::160, ::160] == image).all()


def test_large_pictures_stay_as_they_are() -> None:
    image = np.zeros((10, 321, 3), np.uint8)
    enlarged, factor = enlarge(image)
    assert factor == 1
    assert enlarged.shape == image.shape


def test_boxes_are_drawn_on_both_sides(shapes_set: Path, tmp_path: Path) -> None:
    index = read_coco(shapes_set / "annotations" / "instances_val2017.json", shapes_set / "val2017")
    position = next(i for i in range(len(index)) if len(index.targets(i).labels))
    targets = index.targets(position)
    x1, y1, x2, y2 = targets.boxes[0].tolist()
    result = {
        "image_id": index.image_id(position),
        "category_id": index.categories[int(targets.labels[0])].category_id,
        "bbox": [x1, y1, x2 - x1, y2 - y1],
        "score": 0.9,
    }
    write_pictures([result], index, tmp_path / "right", position + 1)
    write_pictures([], index, tmp_path / "none", position + 1)
    name = f"{index.image_id(position)}.png"
    right = np.asarray(Image.open(tmp_path / "right" / name)).astype(int)
    none = np.asarray(Image.open(tmp_path / "none" / name)).astype(int)
    middle = (right.shape[1] - GAP) // 2
    changed = np.abs(right - none).sum(axis=2) > 0
    assert not changed[:, : middle + GAP].any()
    assert changed[:, middle + GAP :].any()
