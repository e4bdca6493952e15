import json
import math
import subprocess
import sys
from typing import Any, get_args

import numpy as np
import pytest
import torch

from mnv2_dense.coco_evaluation import Options, evaluate, results_of
from mnv2_dense.coco_evaluation.evaluation import Backend
from mnv2_dense.coco_evaluation.tables import SUMMARY_KEYS
from mnv2_dense.errors import UserError

BOX = [0, 0, 50, 50]
TRUTH: dict[str, Any] = {
    "images": [{"id": 1}, {"id": 2}],
    "categories": [{"id": 3, "name": "cat"}, {"id": 7, "name": "dog"}],
    "annotations": [
        {"id": 0, "image_id": 1, "category_id": 3, "bbox": BOX},
        {"id": 0, "image_id": 2, "category_id": 3, "bbox": BOX},
    ],
}
HIT = {"image_id": 1, "category_id": 3, "bbox": BOX, "score": 0.9}
BACKENDS: tuple[Backend, ...] = get_args(Backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_numbers_and_curves(backend: Backend) -> None:
    found = evaluate(TRUTH, [HIT], backend=backend)
    half = pytest.approx(51 / 101)
    assert tuple(found.summary) == SUMMARY_KEYS
    assert found.summary["mAP"] == half
    assert found.per_class["cat"]["AP"] == half
    assert found.category_ids == (3, 7)
    assert found.images == 2
    assert found.precision.shape == (10, 101, 2, 4, 3)
    assert found.precision[0, :, 0, 0, -1].tolist() == pytest.approx([1] * 51 + [0] * 50)
    assert found.recall[:, 0, 0, -1].tolist() == [0.5] * 10
    assert set(found.recall[:, 1].ravel().tolist()) == {-1}
    back = json.loads(json.dumps(found.as_dict()))
    assert back == {**found.summary, "per_class": found.per_class, "images": 2}


@pytest.mark.parametrize("backend", BACKENDS)
def test_classes_may_be_disregarded(backend: Backend) -> None:
    other = {**HIT, "category_id": 7}
    blind = Options(class_blind=True)
    assert evaluate(TRUTH, [other], backend=backend).summary["AR100"] == 0
    found = evaluate(TRUTH, [other], options=blind, backend=backend)
    assert found.summary["AR100"] == 0.5
    assert found.per_class == {}
    assert found.category_ids == ()
    assert found.recall.shape == (10, 1, 4, 3)


@pytest.mark.parametrize("backend", BACKENDS)
def test_some_images(backend: Backend) -> None:
    found = evaluate(TRUTH, results_of([HIT]), image_ids={1}, backend=backend)
    assert found.summary["mAP"] == pytest.approx(1)
    assert found.images == 1
    with pytest.raises(UserError, match=r"image id 5 .1 such in all. is to be measured but"):
        evaluate(TRUTH, [HIT], image_ids=[1, 5], backend=backend)
    with pytest.raises(UserError, match=r"image id 6 .1 such in all. was predicted but"):
        evaluate(TRUTH, [{**HIT, "image_id": 6}], backend=backend)


def test_ids_of_images_are_whole_numbers() -> None:
    array, mask = np.array([1], dtype=np.uint8), np.array([True, False])
    goods: list[Any] = [[1.0], np.array([1.0]), array, (1, 1), torch.tensor([1])]
    for good in goods:
        assert evaluate(TRUTH, [HIT], image_ids=good).summary["mAP"] == pytest.approx(1)
    assert evaluate(TRUTH, [HIT], image_ids=[]).images == 0
    bads: list[Any] = [[1, 1.7], ["1"], [1, math.nan], mask, [True], [1, None], [10**400]]
    for bad in bads:
        with pytest.raises(UserError, match=r"^image_ids: .* is no id; give whole numbers"):
            evaluate(TRUTH, [HIT], image_ids=bad)


def test_what_is_no_backend_and_what_are_no_results() -> None:
    backend: Any = "pycoco"
    with pytest.raises(UserError, match="backend 'pycoco'; give one of mnv2_dense, pycocotools"):
        evaluate(TRUTH, [HIT], backend=backend)
    results: Any = None
    with pytest.raises(UserError, match="results are None; give a list of COCO results"):
        evaluate(TRUTH, results)


def test_inputs_are_not_changed() -> None:
    results = results_of([HIT, {**HIT, "image_id": 2}])
    before = [column.copy() for column in results]
    first, second = evaluate(TRUTH, results), evaluate(TRUTH, results)
    assert first.summary == second.summary
    assert all(map(np.array_equal, before, results))


def test_numpy_is_all_that_is_imported() -> None:
    code = (
        "import sys, mnv2_dense.coco_evaluation as it\n"
        "it.evaluate({'images': [], 'annotations': [], 'categories': []}, [])\n"
        "print(*{'torch', 'torchvision', 'pydantic', 'pycocotools', 'cv2'} & set(sys.modules))"
    )
    command = [sys.executable, "-W", "error", "-c", code]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == ""
