import json
import shutil
from pathlib import Path

import pytest

from mnv2_dense.builders import read_split
from mnv2_dense.builders.fingerprint import fingerprint
from tests.commands.tiny import config_of, segmentation_config_of

CONFIGS = (config_of, segmentation_config_of)
ANNOTATIONS = "annotations/instances_train2017.json"


def digest(data: Path, *overrides: str, task: int = 0, split: str = "train") -> str:
    return fingerprint(read_split(CONFIGS[task](data, *overrides), split))


@pytest.mark.parametrize("task", [0, 1])
def test_the_same_data_elsewhere_are_the_same(shapes_set: Path, tmp_path: Path, task: int) -> None:
    copy = shutil.copytree(shapes_set, tmp_path / "moved")
    assert digest(shapes_set, task=task) == digest(copy, task=task)
    assert digest(shapes_set, task=task) != digest(shapes_set, task=task, split="val")


@pytest.mark.parametrize("key", ["bbox", "category_id"])
def test_another_box_is_other_data(shapes_set: Path, tmp_path: Path, key: str) -> None:
    copy = shutil.copytree(shapes_set, tmp_path / "copy")
    content = json.loads((copy / ANNOTATIONS).read_text())
    plain = [each for each in content["annotations"] if not each["iscrowd"]]
    plain[0][key] = {"bbox": [1, 1, 9, 9], "category_id": plain[0]["category_id"] % 5 + 1}[key]
    (copy / ANNOTATIONS).write_text(json.dumps(content))
    assert digest(shapes_set) != digest(copy)


def test_another_mask_is_other_data(shapes_set: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(shapes_set, tmp_path / "copy")
    masks = sorted((copy / "label_maps" / "train2017").iterdir())
    shutil.copy(masks[0], masks[1])
    assert masks[0].stat().st_size != (shapes_set / masks[1].relative_to(copy)).stat().st_size
    assert digest(shapes_set, task=1) != digest(copy, task=1)


@pytest.mark.parametrize("task", [0, 1])
def test_pictures_turned_upright_are_other_data(shapes_set: Path, task: int) -> None:
    assert digest(shapes_set, task=task) != digest(
        shapes_set, "data.orientation=upright", task=task
    )
