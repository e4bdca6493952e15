from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from mnv2_dense.builders.detection import build_task, read_split
from mnv2_dense.builders.parts import input_size
from mnv2_dense.coco_evaluation.records import results_from_arrays, results_of
from mnv2_dense.commands.columns import column_of
from mnv2_dense.commands.detection import DetectionColumn, detections_of
from mnv2_dense.detection.index import DetectionIndex
from mnv2_dense.drawing import GAP
from mnv2_dense.ops.legacy_resize import resize_legacy
from mnv2_dense.structures import Category, ImageSize
from tests.commands.tiny import config_of

CATEGORIES = (Category(3, "cat"), Category(7, "dog"))


@pytest.fixture
def index(shapes_set: Path) -> DetectionIndex:
    return read_split(config_of(shapes_set), "val")


def column_with(index: DetectionIndex, *results: dict[str, Any]) -> DetectionColumn:
    task = SimpleNamespace(results=results_of(results))
    return DetectionColumn(task, index.categories, ImageSize(64, 64))


def test_boxes_are_drawn_on_both_sides(index: DetectionIndex) -> None:
    position = next(i for i in range(len(index)) if len(index.targets(i).labels))
    targets = index.targets(position)
    x1, y1, x2, y2 = targets.boxes[0].tolist()
    result = {
        "image_id": index.image_id(position),
        "category_id": index.categories[int(targets.labels[0])].category_id,
        "bbox": [x1, y1, x2 - x1, y2 - y1],
        "score": 0.9,
    }
    name, right = column_with(index, result).draw_pair(index, position)
    _, none = column_with(index).draw_pair(index, position)
    _, unsure = column_with(index, {**result, "score": 0.1}).draw_pair(index, position)
    assert name == str(index.image_id(position))
    middle = (right.shape[1] - GAP) // 2
    changed = (right != none).any(axis=2)
    assert not changed[:, : middle + GAP].any()
    assert changed[:, middle + GAP :].any()
    assert np.array_equal(unsure, none)  # below the threshold of pictures


def test_a_split_is_described(index: DetectionIndex) -> None:
    boxes = sum(len(index.targets(i).labels) for i in range(len(index)))
    assert column_with(index).describe_split(index) == f"6 images, {boxes} boxes"


@pytest.mark.parametrize("rule", ["bilinear", "legacy_bilinear"])
def test_a_picture_is_resized_as_the_config_says(rule: str) -> None:
    """The network is shown what evaluation would show it, rounded or not."""
    pixels = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    config = config_of(Path("data"), f"input.resize={rule}", "input.width=96")
    task = build_task(config, CATEGORIES).eval()
    shown: list[torch.Tensor] = []

    def see(_: nn.Module, inputs: tuple[torch.Tensor]) -> None:
        shown.append(inputs[0])

    task.network.register_forward_pre_hook(see)
    column = column_of(config, task, CATEGORIES)
    column.see(pixels)
    size = input_size(config)
    expected = resize_legacy(pixels, size)
    if rule == "bilinear":
        expected = cv2.resize(pixels, (size.width, size.height))
    images = torch.from_numpy(expected).permute(2, 0, 1)[None]
    torch.testing.assert_close(shown[0], task.normalize(images), rtol=0, atol=0)


def test_detections_of_an_image_out_of_coco_results() -> None:
    boxes = [[10, 20, 30, 40], [0, 0, 5, 5], [1, 2, 3, 4]]
    results = results_from_arrays([1, 2, 1], [7, 3, 3], boxes, [0.5, 0.75, 0.25])
    found = detections_of(results, 1, CATEGORIES)
    assert found.boxes.tolist() == [[10, 20, 40, 60], [1, 2, 4, 6]]
    assert found.scores.tolist() == [0.5, 0.25]
    assert found.labels.tolist() == [1, 0]
    assert detections_of(results, 9, CATEGORIES).boxes.shape == (0, 4)
