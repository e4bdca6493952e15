import json
import os
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
import torch.distributed
import torch.multiprocessing

from mnv2_dense.ops.confusion import confusion_matrix
from mnv2_dense.segmentation.metrics import PictureScores, SegmentationMetric
from mnv2_dense.segmentation.scoring import SegmentationScores, evaluate
from mnv2_dense.structures import Category

CATEGORIES = tuple(Category(label, name) for label, name in enumerate(("sky", "cat", "dog")))
NAMES = [category.name for category in CATEGORIES]


def label_maps(number: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Predicted and reference map of an imagined picture, with void."""
    generator = torch.Generator().manual_seed(number)
    size = (2, 20 + number, 30)
    predicted, reference = torch.randint(0, 3, size, generator=generator, dtype=torch.uint8)
    reference[:3] = 255
    return predicted, reference


def measure(numbers: Sequence[int]) -> SegmentationScores:
    metric = SegmentationMetric(CATEGORIES)
    for number in numbers:
        metric.update(*label_maps(number))
    return metric.compute()


def test_metric_equals_the_functional_core() -> None:
    scores = measure([1])
    predicted, reference = label_maps(1)
    counted = reference != 255
    pairs = zip(reference[counted].tolist(), predicted[counted].tolist(), strict=True)
    matrix = torch.zeros(3, 3, dtype=torch.int64)
    for row, column in pairs:
        matrix[row, column] += 1
    assert isinstance(scores, SegmentationScores)
    assert scores.as_dict() == evaluate(matrix.numpy(), NAMES).as_dict()
    assert 0 < scores.summary["mIoU"] < 1


def test_order_and_batches_do_not_matter() -> None:
    assert measure([3, 1, 2]).as_dict() == measure([1, 2, 3]).as_dict()
    whole = SegmentationMetric(CATEGORIES)
    pairs = [label_maps(1), label_maps(1)]
    whole.update(*(torch.stack(maps) for maps in zip(*pairs, strict=True)))
    assert whole.compute().as_dict() == measure([1, 1]).as_dict()


def test_reset_forgets_and_compute_follows_updates() -> None:
    metric = SegmentationMetric(CATEGORIES)
    metric.update(*label_maps(1))
    first = metric.compute()
    before = first.as_dict()
    metric.update(*label_maps(2))
    assert metric.compute().as_dict() == measure([1, 2]).as_dict()
    assert first.as_dict() == before  # scores do not change behind their owner's back
    metric.reset()
    metric.update(*label_maps(3))
    assert metric.compute().as_dict() == measure([3]).as_dict()


def test_forward_scores_the_batch_and_keeps_it() -> None:
    metric = SegmentationMetric(CATEGORIES)
    metric.update(*label_maps(1))
    assert metric(*label_maps(2)).as_dict() == measure([2]).as_dict()
    assert metric.compute().as_dict() == measure([1, 2]).as_dict()


def test_only_void_is_undefined() -> None:
    metric = SegmentationMetric(CATEGORIES)
    void = torch.full((4, 4), 255, dtype=torch.uint8)
    metric.update(torch.zeros_like(void), void)
    assert metric.compute().summary == {
        "mIoU": -1,
        "pixel_accuracy": -1,
        "frequency_weighted_IoU": -1,
    }


@pytest.mark.parametrize("seen", [2**24, 2**31, 2**53])
def test_every_pixel_counts_after_billions(seen: int) -> None:
    metric = SegmentationMetric(CATEGORIES)
    metric.half()  # as half-precision training does to every module
    metric.matrix += seen
    pixel = torch.tensor([[2]], dtype=torch.uint8)
    for _ in range(3):
        metric.update(pixel, pixel)
    matrix = metric.compute().confusion_matrix
    assert matrix.dtype == "int64"
    assert matrix.tolist() == [[seen] * 3, [seen] * 3, [seen, seen, seen + 3]]


def test_the_state_is_small_and_not_in_checkpoints() -> None:
    metric = SegmentationMetric(CATEGORIES)
    for _ in range(3):
        metric.update(*label_maps(1))
    assert metric.matrix.shape == (3, 3)
    assert not metric.state_dict()


@pytest.mark.parametrize(
    ("predicted", "reference", "message"),
    [([[0, 1]], [[0]], "shape"), ([[3]], [[0]], "class 3"), ([[0]], [[3]], "class 3")],
)
def test_wrong_label_maps_are_refused_and_not_counted(
    predicted: list[list[int]], reference: list[list[int]], message: str
) -> None:
    metric = SegmentationMetric(CATEGORIES)
    with pytest.raises(ValueError, match=message):
        metric.update(torch.tensor(predicted), torch.tensor(reference))
    assert not metric.matrix.any()


# Which pictures each of two processes sees, in turn: uneven shares, and a process without any.
SHARES: tuple[tuple[list[int], list[int]], ...] = (([1, 2, 3], [4]), ([], [1, 2, 3, 4]))


def _measure_a_share(rank: int, folder: str) -> None:
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2
    )
    metric = SegmentationMetric(CATEGORIES)
    for number, shares in enumerate(SHARES):
        metric.matrix += 2**40  # sums must not pass through floats either
        for picture in shares[rank]:
            metric.update(*label_maps(picture))
        own = metric.matrix.tolist()
        answer = {"scores": metric.compute().as_dict(), "own": own, "after": metric.matrix.tolist()}
        (Path(folder) / f"{number}-{rank}.json").write_text(json.dumps(answer))
        metric.reset()
    torch.distributed.destroy_process_group()


@pytest.mark.long  # tests/commands/test_evaluate.py has the same of the command
def test_two_processes_equal_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2]))  # for the spawned processes
    monkeypatch.setitem(os.environ, "OMP_NUM_THREADS", "1")
    torch.multiprocessing.spawn(_measure_a_share, args=(str(tmp_path),), nprocs=2)
    matrix = measure([1, 2, 3, 4]).confusion_matrix + 2**41
    expected = evaluate(matrix, NAMES).as_dict()
    for number in range(len(SHARES)):
        for rank in range(2):
            answer = json.loads((tmp_path / f"{number}-{rank}.json").read_text())
            assert answer["scores"] == expected
            assert answer["after"] == answer["own"]


def test_a_picture_is_scored_by_all_its_parts() -> None:
    scores = PictureScores(3)
    predicted, reference = label_maps(0)
    for part in range(4):  # of one picture, column by column
        scores.update("a", predicted[..., part::4], reference[..., part::4])
    scores.update("void", predicted[5], torch.full_like(reference[5], 255))
    scores.update("b", reference[5], reference[5])
    expected = evaluate(confusion_matrix(predicted, reference, 3).numpy(), NAMES)
    assert scores.scores["a"] == expected.summary["mIoU"]
    assert scores.scores["void"] == -1
    assert scores.scores["b"] == 1
    assert scores.classes == {"a": 3, "void": 0, "b": 3}
    scores.gather()
    assert list(scores.scores) == list(scores.classes) == ["a", "void", "b"]
    # Another evaluation begins anew, also with the picture that was the last one.
    scores.update("b", 2 - reference[5], reference[5])
    assert scores.scores["b"] < 0.5
