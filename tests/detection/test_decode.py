import itertools
import math
import time
from typing import Any, Literal

import pytest
import torch
from torch import Tensor
from torchvision.ops import nms

from mnv2_dense.detection.anchors import AnchorGenerator
from mnv2_dense.detection.coding import decode_boxes, encode_boxes
from mnv2_dense.detection.decode import Decoder
from mnv2_dense.detection.network import DetectorOutputs
from mnv2_dense.ops.boxes import center_to_corner, corner_to_center, size_scale
from mnv2_dense.structures import Detections, ImageSize

Rows = list[tuple[tuple[float, float, float, float], list[float]]]

SIZE = ImageSize(height=200, width=400)
UNIT = ImageSize(height=1, width=1)


def outputs_of(rows: Rows, size: ImageSize = SIZE) -> DetectorOutputs:
    """One anchor per row: its box in pixels of `size` and the score of each class (sigmoid)."""
    boxes = torch.tensor([box for box, _ in rows]).reshape(-1, 4)
    scores = torch.tensor([[0.5, *scores] for _, scores in rows])
    anchors = torch.tensor([0.5, 0.5, 0.3, 0.3]).expand(len(rows), 4)
    deltas = encode_boxes(corner_to_center(boxes / size_scale(size, boxes)), anchors)
    return DetectorOutputs(scores.logit()[None], deltas[None], anchors)


def decode(outputs: DetectorOutputs, size: ImageSize = SIZE, **options: Any) -> Detections:
    activation: Literal["softmax", "sigmoid"] = options.pop("activation", "sigmoid")
    (found,) = Decoder(activation=activation, **options)(outputs, [size])
    return found


def rows_of(found: Detections) -> list[tuple[list[int], float, int]]:
    """Boxes and scores rounded, for comparison by eye."""
    return [
        ([round(v) for v in box], round(score, 3), label)
        for box, score, label in zip(*(t.tolist() for t in found), strict=True)
    ]


def test_ground_truth_comes_back_in_pixels_of_the_original() -> None:
    truth = torch.tensor([[10.0, 20, 110, 120], [200, 50, 390, 199], [0, 0, 30, 25]])
    rows = [(tuple(box), [0.0, 0.0]) for box in truth.tolist()]
    for number, (_, scores) in enumerate(rows):
        scores[number % 2] = 0.9 - number / 10
    found = decode(outputs_of(rows))
    torch.testing.assert_close(found.boxes, truth, rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(found.scores, torch.tensor([0.9, 0.8, 0.7]))
    assert found.labels.tolist() == [0, 1, 0]
    assert found.labels.dtype == torch.int64


def test_softmax_drops_the_background() -> None:
    outputs = outputs_of([((0, 0, 50, 50), [0.5, 0.5])])
    logits = torch.tensor([[[3.0, 1.0, 2.0]]])
    found = decode(outputs._replace(class_logits=logits), activation="softmax")
    total = math.exp(3) + math.exp(1) + math.exp(2)
    expected = torch.tensor([math.exp(2) / total, math.exp(1) / total])
    torch.testing.assert_close(found.scores, expected)
    assert found.labels.tolist() == [1, 0]


def test_a_score_at_the_threshold_stays() -> None:
    outputs = outputs_of([((0, 0, 50, 50), [0.5]), ((100, 0, 150, 50), [0.499])])
    assert rows_of(decode(outputs, score_threshold=0.5)) == [([0, 0, 50, 50], 0.5, 0)]
    assert len(decode(outputs, score_threshold=0.0).scores) == 2


def test_nms_is_per_class() -> None:
    """The second box covers 0.8 of the first: dropped in its class, kept in another."""
    outputs = outputs_of(
        [
            ((0, 0, 100, 100), [0.9, 0.0]),
            ((0, 0, 80, 100), [0.8, 0.7]),
            ((300, 0, 390, 90), [0.6, 0]),
        ]
    )
    assert rows_of(decode(outputs)) == [
        ([0, 0, 100, 100], 0.9, 0),
        ([0, 0, 80, 100], 0.7, 1),
        ([300, 0, 390, 90], 0.6, 0),
    ]
    assert len(decode(outputs, nms_iou_threshold=0.85).scores) == 4


def test_nms_looks_at_pixels_of_the_original() -> None:
    """The clipped boxes are compared: outside the picture there is nothing to differ in."""
    outputs = outputs_of([((-300, 0, 50, 100), [0.9]), ((0, 0, 50, 100), [0.8])])
    assert rows_of(decode(outputs)) == [([0, 0, 50, 100], 0.9, 0)]


def test_boxes_are_clipped_and_what_lies_outside_is_dropped() -> None:
    outputs = outputs_of(
        [
            ((-20, -30, 40, 50), [0.9]),
            ((350, 150, 500, 300), [0.8]),
            ((420, 10, 480, 60), [0.7]),
            ((-80, 10, -20, 60), [0.6]),
        ]
    )
    assert rows_of(decode(outputs)) == [([0, 0, 40, 50], 0.9, 0), ([350, 150, 400, 200], 0.8, 0)]


def grid(count: int, classes: int = 1) -> DetectorOutputs:
    """Boxes side by side; scores fall from left to right, and by class."""
    return outputs_of(
        [
            ((n * 10.0, 0, n * 10.0 + 9, 50), [0.9 - n / 100 - c / 1000 for c in range(classes)])
            for n in range(count)
        ]
    )


def test_the_best_are_kept_in_order() -> None:
    found = decode(grid(20), max_detections=5)
    torch.testing.assert_close(found.scores, torch.tensor([0.9, 0.89, 0.88, 0.87, 0.86]))
    shuffled = grid(20)
    order = torch.randperm(20, generator=torch.Generator().manual_seed(0))
    shuffled = DetectorOutputs(
        shuffled.class_logits[:, order], shuffled.box_deltas[:, order], shuffled.anchors
    )
    torch.testing.assert_close(decode(shuffled, max_detections=5), found)


def test_a_limit_per_class() -> None:
    found = decode(grid(10, classes=3), max_detections_per_class=2)
    assert found.labels.tolist() == [0, 1, 2, 0, 1, 2]
    assert (
        len(decode(grid(10, classes=3), max_detections_per_class=2, max_detections=4).scores) == 4
    )


def test_candidates_are_limited_before_the_nms() -> None:
    same = outputs_of([((0, 0, 50, 50), [0.9]), ((0, 0, 51, 50), [0.8]), ((99, 0, 150, 50), [0.7])])
    assert len(decode(same, max_candidates=2).scores) == 1
    assert len(decode(same, max_candidates=3).scores) == 2


def test_nothing_found_is_empty_and_well_formed() -> None:
    nothing = outputs_of([((0, 0, 50, 50), [0.001])])
    no_anchor = DetectorOutputs(torch.zeros(1, 0, 3), torch.zeros(1, 0, 4), torch.zeros(0, 4))
    for outputs, rule in itertools.product((nothing, no_anchor), ("per_class", "across_classes")):
        for limit in (None, 3):
            found = decode(outputs, nms=rule, max_detections_per_class=limit)
            assert found.boxes.shape == (0, 4)
            assert found.scores.shape == found.labels.shape == (0,)
            assert found.labels.dtype == torch.int64


def random_outputs(images: int = 1, classes: int = 5, seed: int = 0) -> DetectorOutputs:
    generator = torch.Generator().manual_seed(seed)
    cells = [ImageSize(6, 6), ImageSize(3, 3), *[ImageSize(1, 1)] * 4]
    anchors = AnchorGenerator()(cells, ImageSize(96, 96), torch.device("cpu"))
    logits = torch.randn(images, len(anchors), 1 + classes, generator=generator) * 2
    deltas = torch.randn(images, len(anchors), 4, generator=generator)
    return DetectorOutputs(logits, deltas, anchors)


def slow_decode(outputs: DetectorOutputs, size: ImageSize, sigmoid: bool) -> Detections:
    """Class by class with torchvision's NMS: threshold 0.05, IoU 0.5, 7 per class, 20 in all."""
    logits = outputs.class_logits[0]
    scores = logits.sigmoid() if sigmoid else logits.softmax(dim=1)
    found: list[tuple[float, int, Tensor]] = []
    boxes = center_to_corner(decode_boxes(outputs.box_deltas[0], outputs.anchors))
    boxes = boxes * torch.tensor([size.width, size.height] * 2)
    boxes[:, ::2] = boxes[:, ::2].clamp(0, size.width)
    boxes[:, 1::2] = boxes[:, 1::2].clamp(0, size.height)
    for label in range(logits.shape[1] - 1):
        column = scores[:, label + 1]
        passing = column >= 0.05
        kept = nms(boxes[passing], column[passing], 0.5)[:7]
        chosen = zip(column[passing][kept].tolist(), boxes[passing][kept], strict=True)
        found += [(score, label, box) for score, box in chosen]
    found = sorted(found, key=lambda row: -row[0])[:20]
    return Detections(
        torch.stack([box for _, _, box in found]),
        torch.tensor([score for score, _, _ in found]),
        torch.tensor([label for _, label, _ in found]),
    )


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("classes", [1, 40])
def test_agrees_with_a_loop_over_classes(activation: str, seed: int, classes: int) -> None:
    outputs = random_outputs(classes=classes, seed=seed)
    size = ImageSize(427, 640)
    found = decode(
        outputs,
        size,
        activation=activation,
        score_threshold=0.05,
        nms_iou_threshold=0.5,
        max_candidates=None,
        max_detections_per_class=7,
        max_detections=20,
    )
    torch.testing.assert_close(found, slow_decode(outputs, size, activation == "sigmoid"))


# Boxes that compete across classes


def test_across_classes_an_anchor_is_its_best_class_alone() -> None:
    """The first of equals; the third anchor's best class misses the threshold, so it is nothing."""
    outputs = outputs_of(
        [
            ((0, 0, 50, 50), [0.3, 0.8, 0.7]),
            ((100, 0, 150, 50), [0.6, 0.2, 0.6]),
            ((200, 0, 250, 50), [0.01, 0.02, 0.04]),
        ]
    )
    # Neither an overlap that drops nothing nor a limit lets an anchor in twice.
    options: list[dict[str, Any]] = [{}, {"nms_iou_threshold": 1.0}, {"max_candidates": 2}]
    for option in options:
        found = decode(outputs, nms="across_classes", score_threshold=0.05, **option)
        assert rows_of(found) == [([0, 0, 50, 50], 0.8, 1), ([100, 0, 150, 50], 0.6, 0)]
    assert len(decode(outputs, score_threshold=0.05).scores) == 6


def test_across_classes_boxes_push_out_those_of_other_classes() -> None:
    """The second covers 0.8 of the first; the third 0.6 of it, and 0.75 of the second."""
    outputs = outputs_of(
        [
            ((0, 0, 100, 100), [0.9, 0.0]),
            ((0, 0, 80, 100), [0.0, 0.8]),
            ((0, 0, 60, 100), [0.0, 0.7]),
        ]
    )
    for threshold, scores in ((0.5, [0.9]), (0.7, [0.9, 0.7]), (0.85, [0.9, 0.8, 0.7])):
        found = decode(outputs, nms="across_classes", nms_iou_threshold=threshold)
        assert found.scores.tolist() == pytest.approx(scores)


def test_across_classes_the_background_is_no_class() -> None:
    outputs = outputs_of([((0, 0, 50, 50), [0.5, 0.5])])
    outputs = outputs._replace(class_logits=torch.tensor([[[9.0, 1.0, 2.0]]]))
    found = decode(outputs, nms="across_classes", activation="softmax", score_threshold=0.0)
    total = math.exp(9) + math.exp(1) + math.exp(2)
    assert found.labels.tolist() == [1]
    assert found.scores.item() == pytest.approx(math.exp(2) / total)


def test_across_classes_boxes_compete_as_the_network_gives_them() -> None:
    """Inside the picture the two are the same box; as given they share 50 of 350 columns."""
    rows: Rows = [((-300, 0, 50, 100), [0.9, 0]), ((0, 0, 50, 100), [0.8, 0])]
    found = decode(outputs_of(rows), nms="across_classes")
    assert rows_of(found) == [([0, 0, 50, 100], 0.9, 0), ([0, 0, 50, 100], 0.8, 0)]
    assert len(decode(outputs_of(rows)).scores) == 1


def test_across_classes_unseen_boxes_compete_but_are_not_shown() -> None:
    rows: Rows = [((-100, 0, -1, 50), [0.9]), ((-95, 0, 4, 50), [0.8]), ((99, 0, 150, 50), [0.7])]
    options: dict[str, Any] = {"nms": "across_classes", "nms_iou_threshold": 0.6}
    assert rows_of(decode(outputs_of(rows), **options)) == [([99, 0, 150, 50], 0.7, 0)]
    assert len(decode(outputs_of(rows), **options, max_detections=1).scores) == 0
    assert len(decode(outputs_of(rows)).scores) == 2


def test_across_classes_every_limit_holds() -> None:
    options: dict[str, Any] = {"nms": "across_classes", "nms_iou_threshold": 0.5}
    same = outputs_of([((0, 0, 50, 50), [0.9]), ((0, 0, 51, 50), [0.8]), ((99, 0, 150, 50), [0.7])])
    assert len(decode(same, **options, max_candidates=2).scores) == 1
    assert len(decode(same, **options, max_candidates=3).scores) == 2
    rows: Rows = [((n * 20, 0, n * 20 + 15, 50), [0.9 - n / 10, 0.0]) for n in range(4)]
    rows += [((n * 20, 80, n * 20 + 15, 99), [0.0, 0.85 - n / 10]) for n in range(4)]
    found = decode(outputs_of(rows), **options, max_detections_per_class=2)
    assert found.labels.tolist() == [0, 1, 0, 1]
    assert found.scores.tolist() == pytest.approx([0.9, 0.85, 0.8, 0.75])
    assert len(decode(outputs_of(rows), **options, max_detections=3).scores) == 3


def fast_nms(outputs: DetectorOutputs) -> list[tuple[float, int, list[float]]]:
    """TensorFlow Lite's kernel, as loops: score, label and box in shares, not clipped.

    Score 0.3, IoU 0.5, 20 detections, one class per detection.
    """
    scores = outputs.class_logits[0].sigmoid()[:, 1:].tolist()
    boxes = center_to_corner(decode_boxes(outputs.box_deltas[0], outputs.anchors)).tolist()
    best = [(max(row), row.index(max(row)), anchor) for anchor, row in enumerate(scores)]
    waiting = sorted((row for row in best if row[0] >= 0.3), key=lambda row: -row[0])
    found: list[tuple[float, int, list[float]]] = []
    while waiting and len(found) < 20:
        score, label, anchor = waiting.pop(0)
        found.append((score, label, boxes[anchor]))
        waiting = [row for row in waiting if overlap(boxes[anchor], boxes[row[2]]) <= 0.5]
    return found


def overlap(one: list[float], other: list[float]) -> float:
    """IoU of two boxes xyxy."""
    sides = [min(one[i + 2], other[i + 2]) - max(one[i], other[i]) for i in (0, 1)]
    shared = max(sides[0], 0) * max(sides[1], 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return shared / (areas[0] + areas[1] - shared)


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
@pytest.mark.parametrize("classes", [1, 40])
def test_across_classes_agrees_with_tensorflow_lite_as_loops(seed: int, classes: int) -> None:
    outputs = random_outputs(classes=classes, seed=seed)
    # Quantised networks give many equal scores: the first anchor goes first.
    outputs = outputs._replace(class_logits=outputs.class_logits.round())
    found = decode(
        outputs,
        UNIT,
        nms="across_classes",
        score_threshold=0.3,
        nms_iou_threshold=0.5,
        max_candidates=None,
        max_detections=20,
    )
    expected = fast_nms(outputs)
    boxes = torch.tensor([box for _, _, box in expected]).clamp(0, 1)
    seen = (boxes[:, 2:] > boxes[:, :2]).all(dim=1)
    assert seen.sum() > 5
    torch.testing.assert_close(found.boxes, boxes[seen])
    torch.testing.assert_close(found.scores, torch.tensor([row[0] for row in expected])[seen])
    assert found.labels.tolist() == torch.tensor([row[1] for row in expected])[seen].tolist()


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_across_classes_broken_numbers_never_become_detections(value: float) -> None:
    outputs = random_outputs()
    outputs.class_logits[:, ::3, 2] = value
    outputs.box_deltas[:, 1::3, 1] = value
    found = decode(outputs, UNIT, nms="across_classes", max_detections=10**6)
    assert len(found.scores) > 0
    assert found.scores.isfinite().all()
    assert found.boxes.isfinite().all()


def test_no_limit_of_candidates_is_a_large_one() -> None:
    outputs = random_outputs(classes=10)
    everything = decode(outputs, max_candidates=None, max_detections=10**6)
    assert len(everything.scores) > 100
    torch.testing.assert_close(
        decode(outputs, max_candidates=10**6, max_detections=10**6), everything
    )


def test_images_of_a_batch_are_decoded_alone_and_to_their_own_size() -> None:
    outputs = random_outputs(images=3)
    sizes = [ImageSize(100, 200), ImageSize(480, 640), ImageSize(33, 17)]
    together = Decoder()(outputs, sizes)
    for index, size in enumerate(sizes):
        part = slice(index, index + 1)
        logits, deltas, anchors = outputs
        alone = DetectorOutputs(logits[part], deltas[part], anchors)
        torch.testing.assert_close(
            together[index], decode(alone, size, activation="softmax"), rtol=0, atol=0
        )
        assert (together[index].boxes.amax(dim=0) <= torch.tensor([*size[::-1]] * 2)).all()


def test_a_mirrored_picture_has_mirrored_boxes() -> None:
    outputs = random_outputs()
    mirrored = outputs.anchors * torch.tensor([-1, 1, 1, 1]) + torch.tensor([1, 0, 0, 0])
    deltas = outputs.box_deltas * torch.tensor([-1, 1, 1, 1])
    found = decode(outputs)
    other = decode(DetectorOutputs(outputs.class_logits, deltas, mirrored))
    x1, y1, x2, y2 = found.boxes.unbind(dim=1)
    expected = torch.stack([SIZE.width - x2, y1, SIZE.width - x1, y2], dim=1)
    assert other.labels.tolist() == found.labels.tolist()
    torch.testing.assert_close(other.boxes, expected, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_broken_numbers_never_become_detections(activation: str, value: float) -> None:
    """A third of the anchors has a broken logit, a third a broken delta; the rest is found."""
    outputs = random_outputs()
    outputs.class_logits[:, ::3, 2] = value
    outputs.box_deltas[:, 1::3, 1] = value
    found = decode(outputs, UNIT, activation=activation, max_detections=10**6)
    assert found.scores.isfinite().all()
    assert found.boxes.isfinite().all()
    healthy = DetectorOutputs(
        outputs.class_logits[:, 2::3], outputs.box_deltas[:, 2::3], outputs.anchors[2::3]
    )
    assert len(decode(healthy, UNIT, activation=activation).scores) > 0
    assert len(found.scores) > 0


def test_all_nan_finds_nothing() -> None:
    logits, deltas, anchors = random_outputs()
    nan = DetectorOutputs(logits * math.nan, deltas * math.nan, anchors)
    assert len(decode(nan, score_threshold=0.0).scores) == 0


def test_half_precision_outputs_are_decoded_in_full() -> None:
    outputs = random_outputs()
    logits, deltas, anchors = outputs
    half = DetectorOutputs(logits.bfloat16(), deltas.bfloat16(), anchors)
    full = DetectorOutputs(half.class_logits.float(), half.box_deltas.float(), half.anchors)
    found = decode(half)
    assert found.boxes.dtype == found.scores.dtype == torch.float32
    torch.testing.assert_close(found, decode(full))


def test_a_limit_per_class_is_cheap_over_many_candidates() -> None:
    """An untrained network under the release's settings: every class-anchor pair is a candidate."""
    outputs = random_outputs(classes=300, seed=3)
    started = time.perf_counter()
    decode(
        outputs,
        score_threshold=1e-8,
        nms_iou_threshold=1.0,
        max_candidates=None,
        max_detections_per_class=100,
    )
    assert time.perf_counter() - started < 10


def test_no_gradient_is_kept() -> None:
    outputs = random_outputs()
    outputs.class_logits.requires_grad_()
    assert not decode(outputs).scores.requires_grad
