import math
from typing import Any

import pytest

from mnv2_dense.coco_evaluation.instances import ground_truth_of
from mnv2_dense.errors import UserError

TRUTH: dict[str, Any] = {
    "images": [{"id": 9}, {"id": 4}, {"id": 9}],
    "categories": [{"id": 7, "name": "dog"}, {"id": 3, "name": "cat"}],
    "annotations": [
        {"image_id": 9, "category_id": 7, "bbox": [0, 0, 4, 5], "segmentation": [[0.0] * 9]},
        {"image_id": 4, "category_id": 3, "bbox": [1, 1, 2, 2], "area": 3, "iscrowd": 1},
        {"image_id": 4, "category_id": 3, "bbox": [1, 1, math.nan, 2]},
        {"image_id": 4, "category_id": 3, "bbox": [1, 1, 2]},
        {"image_id": 4, "category_id": 3, "bbox": [1, 1, 0, 2], "difficult": 1},
    ],
}


def test_columns_of_an_instances_file() -> None:
    truth = ground_truth_of(TRUTH)
    assert truth.image_ids.tolist() == [4, 9]
    assert list(truth.categories.items()) == [(3, "cat"), (7, "dog")]
    assert truth.images.tolist() == [9, 4, 4]
    assert truth.labels.tolist() == [7, 3, 3]
    assert truth.boxes.tolist() == [[0, 0, 4, 5], [1, 1, 2, 2], [1, 1, 0, 2]]
    assert truth.areas.tolist() == [20, 3, 0]
    assert truth.crowds.tolist() == [False, True, False]
    assert truth.difficult.tolist() == [False, False, True]


@pytest.mark.parametrize(
    "content",
    [
        *([], None, {"images": []}),
        {**TRUTH, "annotations": [{"id": 1}]},
        {**TRUTH, "images": [{"id": "a"}]},
        {**TRUTH, "categories": [{"id": 1.5, "name": "cat"}]},
        {**TRUTH, "annotations": [{**TRUTH["annotations"][0], "bbox": [0, 0, "4", 5]}]},
    ],
)
def test_what_is_no_instances_file_is_named(content: Any) -> None:
    with pytest.raises(UserError, match=r"^my\.json is no COCO instances file .*categories with"):
        ground_truth_of(content, "my.json")


def test_a_class_without_a_name_is_called_by_its_id() -> None:
    truth = ground_truth_of({**TRUTH, "categories": [{"id": 7.0}, {"id": 3, "name": "cat"}]})
    assert truth.categories == {3: "cat", 7: "7"}
