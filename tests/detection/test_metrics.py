import json
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import get_args

import pytest
import torch
import torch.distributed
import torch.multiprocessing

from mnv2_dense.coco_evaluation.evaluation import Backend
from mnv2_dense.coco_evaluation.files import read_ground_truth
from mnv2_dense.coco_evaluation.records import records_of
from mnv2_dense.detection.metrics import CocoDetectionMetric
from mnv2_dense.detection.scoring import DetectionScores, coco_results, evaluate
from mnv2_dense.error_analysis import analyze_errors
from mnv2_dense.errors import UserError
from mnv2_dense.structures import Detections
from tests.detection.scenes import CATEGORIES, FOUND, TRUTH, result


@pytest.fixture
def annotation_file(tmp_path: Path) -> Path:
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(TRUTH))
    return path


def measure(path: Path, order: Sequence[int]) -> DetectionScores:
    metric = CocoDetectionMetric(partial(read_ground_truth, path), CATEGORIES)
    for image_id in order:
        metric.update([image_id], [FOUND[image_id]])
    return metric.compute()


def test_metric_equals_the_functional_core(annotation_file: Path) -> None:
    results = coco_results(list(FOUND), list(FOUND.values()), CATEGORIES)
    scores = measure(annotation_file, list(FOUND))
    assert scores == evaluate(TRUTH, results)
    assert isinstance(scores, DetectionScores)
    assert 0 < scores.summary["mAP"] < 1


@pytest.mark.parametrize("backend", get_args(Backend))
def test_ground_truth_as_json_or_as_columns(annotation_file: Path, backend: Backend) -> None:
    metric = CocoDetectionMetric(lambda: TRUTH, CATEGORIES, backend=backend)
    metric.update(list(FOUND), list(FOUND.values()))
    assert metric.compute() == measure(annotation_file, list(FOUND))


def test_batches_and_their_order_do_not_matter(annotation_file: Path) -> None:
    whole = CocoDetectionMetric(partial(read_ground_truth, annotation_file), CATEGORIES)
    whole.update([6, 3, 5, 1, 2, 4], [FOUND[i] for i in (6, 3, 5, 1, 2, 4)])
    whole.update([], [])
    assert whole.compute() == measure(annotation_file, [1, 2, 3, 4, 5, 6])
    assert whole.compute() == measure(annotation_file, [4, 3, 6, 2, 1, 5])


def test_an_image_seen_twice_counts_once(annotation_file: Path) -> None:
    scores = measure(annotation_file, [1, 2, 3, 4, 5, 6, 1, 4, 4])
    assert scores == measure(annotation_file, [1, 2, 3, 4, 5, 6])
    metric = CocoDetectionMetric(partial(read_ground_truth, annotation_file), CATEGORIES)
    metric.update([1, 1], [FOUND[1], FOUND[6]])
    assert metric.compute() == measure(annotation_file, [1])


def test_a_limited_run_measures_what_it_saw(annotation_file: Path) -> None:
    scores = measure(annotation_file, [1])
    assert scores.images == 1
    # The false positive at score 0.3 ranks behind the hit and costs nothing.
    assert scores.per_class["cat"]["AP"] == pytest.approx(1)


def test_only_empty_images(annotation_file: Path) -> None:
    metric = CocoDetectionMetric(partial(read_ground_truth, annotation_file), CATEGORIES)
    metric.update([5, 2], [FOUND[5], FOUND[5]])
    assert metric.compute().summary["mAP"] == 0
    assert records_of(metric.results()) == []


def test_reset_forgets_and_compute_follows_updates(annotation_file: Path) -> None:
    metric = CocoDetectionMetric(partial(read_ground_truth, annotation_file), CATEGORIES)
    metric.update([6], [FOUND[6]])
    assert metric.compute().images == 1
    metric.update([1], [FOUND[1]])
    assert metric.compute().images == 2
    metric.reset()
    metric.update([1], [FOUND[1]])
    assert metric.compute() == measure(annotation_file, [1])


def test_forward_scores_the_batch_and_keeps_it(annotation_file: Path) -> None:
    metric = CocoDetectionMetric(partial(read_ground_truth, annotation_file), CATEGORIES)
    metric.update([6], [FOUND[6]])
    assert metric([1], [FOUND[1]]) == measure(annotation_file, [1])
    assert metric.compute() == measure(annotation_file, [6, 1])


def test_errors_are_of_the_images_that_were_seen(annotation_file: Path) -> None:
    metric = CocoDetectionMetric(partial(read_ground_truth, annotation_file), CATEGORIES)
    for image_id in (6, 1, 6):
        metric.update([image_id], [FOUND[image_id]])
    errors = metric.analyze()
    assert errors == analyze_errors(annotation_file, metric.results(), image_ids=[1, 6])
    assert errors.images == 2
    assert errors.ap50 == pytest.approx(metric.compute().summary["AP50"], abs=1e-12)


def test_states_are_exact_and_hold_no_graph(annotation_file: Path) -> None:
    metric = CocoDetectionMetric(partial(read_ground_truth, annotation_file), CATEGORIES)
    metric.half()  # as half-precision training does to every module
    big = 2**40 + 1  # image ids must not pass through float32
    boxes = torch.tensor([[0.0, 0.0, 1.0, 1.0]], requires_grad=True)
    found = Detections(boxes * 2, torch.tensor([0.5]), torch.tensor([1]))
    metric.update([big], [found])
    assert records_of(metric.results()) == [result(big, 7, (0, 0, 2, 2), 0.5)]
    assert not metric.boxes[0].requires_grad
    assert not metric.state_dict()


def test_metric_refuses_unequal_lists(annotation_file: Path) -> None:
    with pytest.raises(ValueError, match="2 image ids for 1 detections"):
        CocoDetectionMetric(partial(read_ground_truth, annotation_file), CATEGORIES).update(
            [1, 2], [FOUND[1]]
        )


def test_the_file_is_read_at_the_first_compute_and_once(tmp_path: Path) -> None:
    path = tmp_path / "late.json"
    metric = CocoDetectionMetric(partial(read_ground_truth, path), CATEGORIES)
    metric.update([1], [FOUND[1]])
    with pytest.raises(UserError, match=r"cannot read the annotation file .*late\.json"):
        metric.compute()
    path.write_text(json.dumps(TRUTH))
    first = metric.compute()
    path.unlink()
    metric.reset()
    metric.update([1], [FOUND[1]])
    assert metric.compute() == first


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is no JSON"),
        ("[]", "is no COCO instances file"),
        ('{"images": []}', "is no COCO instances file .*annotations"),
        ('{"images": [], "categories": [], "annotations": [{"id": 1}]}', "bbox"),
    ],
)
def test_a_wrong_annotation_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "wrong.json"
    path.write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        read_ground_truth(path)
    assert str(path) in str(caught.value)


# Which images each of two processes sees, in turn: uneven with an image in both (as padding
# makes it), one process without any, and no detection anywhere.
SHARES: tuple[tuple[list[int], list[int]], ...] = (
    ([1, 2, 3, 5], [4, 6, 1]),
    ([], [1, 2, 3, 4, 5, 6]),
    ([5], [5]),
)


def _measure_a_share(rank: int, folder: str) -> None:
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2
    )
    metric = CocoDetectionMetric(
        partial(read_ground_truth, Path(folder) / "instances.json"), CATEGORIES
    )
    for number, shares in enumerate(SHARES):
        for image_id in shares[rank]:
            metric.update([image_id], [FOUND[image_id]])
        scores = metric.compute().as_dict()
        own = records_of(metric.results())
        with metric.sync_context():
            gathered, errors = records_of(metric.results()), metric.analyze().as_dict()
        answer = {"scores": scores, "own": own, "gathered": gathered, "errors": errors}
        (Path(folder) / f"{number}-{rank}.json").write_text(json.dumps(answer))
        metric.reset()
    torch.distributed.destroy_process_group()


@pytest.mark.long  # tests/commands/test_evaluate.py has the same of the command
def test_two_processes_equal_one(annotation_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = annotation_file.parent
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2]))  # for the spawned processes
    monkeypatch.setitem(os.environ, "OMP_NUM_THREADS", "1")
    torch.multiprocessing.spawn(_measure_a_share, args=(str(folder),), nprocs=2)
    for number, shares in enumerate(SHARES):
        images = list(dict.fromkeys([*shares[0], *shares[1]]))
        expected = measure(annotation_file, images).as_dict()
        everything = records_of(coco_results(images, [FOUND[i] for i in images], CATEGORIES))
        errors = analyze_errors(annotation_file, everything, image_ids=images)
        for rank, share in enumerate(shares):
            answer = json.loads((folder / f"{number}-{rank}.json").read_text())
            assert answer["scores"] == expected
            assert answer["gathered"] == everything
            assert answer["errors"] == errors.as_dict()
            assert {r["image_id"] for r in answer["own"]} <= set(share)
