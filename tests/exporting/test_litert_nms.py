from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from flatbuffers import flexbuffers
from numpy.typing import NDArray
from torch import Tensor
from torchvision.ops import batched_nms, nms

from mnv2_dense.exporting.litert_graph import LiteRtGraph
from mnv2_dense.exporting.litert_nms import DETECTIONS, MOST_CANDIDATES, add_nms
from tests.exporting.litert_graphs import content_of, run, tables
from tests.importing.flatbuffers_models import ModelWriter

ANCHORS = 40
DECODING: dict[str, Any] = {
    "score_threshold": 0.2,
    "nms": "per_class",
    "nms_iou_threshold": 0.4,
    "max_candidates": 60,
    "max_detections": 25,
}
ACROSS = {**DECODING, "nms": "across_classes", "max_candidates": None}


def graph_of(folder: Path, decoding: Mapping[str, Any], anchors: int, classes: int) -> bytes:
    """The operations alone: what they take is the graph's input."""
    writer = ModelWriter()
    ends = {
        "encodings": writer.tensor("encodings", (1, anchors, 4)),
        "scores": writer.tensor("scores", (1, anchors, classes)),
    }
    graph = LiteRtGraph(content_of(writer, folder, ends, ends))
    add_nms(graph, decoding)
    return graph.to_bytes()


def encode(boxes: Tensor) -> NDArray[np.float32]:
    """Boxes [A, 4] xyxy as centre and log of the sides (y, x, h, w)."""
    center, side = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    return torch.cat([center.flip(1), side.log().flip(1)], dim=1)[None].numpy()


def draw(classes: int, anchors: int = ANCHORS) -> tuple[Tensor, Tensor]:
    """Boxes that overlap, some of them at the edges of the picture, and their scores."""
    generator = torch.Generator().manual_seed(classes)
    center = torch.rand(anchors, 2, generator=generator)
    half = torch.rand(anchors, 2, generator=generator) * 0.2 + 0.05
    boxes = torch.cat([center - half, center + half], dim=1).clamp(0, 1)
    return boxes, torch.rand(anchors, classes, generator=generator)


Found = tuple[Tensor, Tensor, Tensor]


def expect_per_class(boxes: Tensor, scores: Tensor, decoding: Mapping[str, Any]) -> Found:
    """Boxes, labels and scores by torchvision."""
    best, pair = scores.flatten().sort(descending=True)
    best, pair = (each[: decoding["max_candidates"]] for each in (best, pair))
    passing = best >= decoding["score_threshold"]
    pair, best = pair[passing], best[passing]
    anchor, label = pair // scores.shape[1], pair % scores.shape[1]
    kept = batched_nms(boxes[anchor], best, label, decoding["nms_iou_threshold"])
    kept = kept[: decoding["max_detections"]]
    return boxes[anchor[kept]], label[kept], best[kept]


def expect_across(boxes: Tensor, scores: Tensor, decoding: Mapping[str, Any]) -> Found:
    best, label = scores.max(dim=1)
    kept = nms(boxes, best, decoding["nms_iou_threshold"])
    kept = kept[best[kept] >= decoding["score_threshold"]][: decoding["max_detections"]]
    return boxes[kept], label[kept], best[kept]


def check(content: bytes, boxes: Tensor, scores: Tensor, expected: Found, threads: int = 1) -> None:
    given = {"encodings": encode(boxes), "scores": scores[None].numpy()}
    results = run(content, threads=threads, **given)
    assert set(results) == set(DETECTIONS)
    count = int(results["num_detections"].item())
    yxyx, labels, best = (results[name][0, :count] for name in DETECTIONS[:3])
    wanted_boxes, wanted_labels, wanted_scores = (each.numpy() for each in expected)
    assert count == len(wanted_labels)
    np.testing.assert_array_equal(labels, wanted_labels)
    np.testing.assert_allclose(best, wanted_scores, rtol=1e-6)
    np.testing.assert_allclose(yxyx[:, [1, 0, 3, 2]], wanted_boxes, atol=1e-5)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("classes", [1, 2, 5, 90])
def test_boxes_of_a_class_compete_as_in_torchvision(
    tmp_path: Path, classes: int, threads: int
) -> None:
    boxes, scores = draw(classes)
    expected = expect_per_class(boxes, scores, DECODING)
    assert 0 < len(expected[0]) <= DECODING["max_detections"]
    content = graph_of(tmp_path, DECODING, ANCHORS, classes)
    check(content, boxes, scores, expected, threads)


@pytest.mark.parametrize("classes", [1, 5])
def test_boxes_of_all_classes_compete_as_in_torchvision(tmp_path: Path, classes: int) -> None:
    boxes, scores = draw(classes)
    expected = expect_across(boxes, scores, ACROSS)
    assert len(expected[0]) > 3
    check(graph_of(tmp_path, ACROSS, ANCHORS, classes), boxes, scores, expected)


@pytest.mark.parametrize(("kind", "kept"), [("per_class", [0, 1, 3]), ("across_classes", [0, 3])])
def test_one_box_competes_with_those_of_its_class_or_of_any(
    tmp_path: Path, kind: str, kept: list[int]
) -> None:
    """By hand: three in one place, the second of another class, and one elsewhere."""
    boxes = torch.tensor([[0.1, 0.1, 0.5, 0.5]] * 3 + [[0.6, 0.6, 1.0, 1.0]])
    scores = torch.tensor([[0.9, 0.0], [0.0, 0.8], [0.7, 0.0], [0.0, 0.6]])
    best, labels = scores.max(dim=1)
    content = graph_of(tmp_path, {**DECODING, "nms": kind}, 4, 2)
    check(content, boxes, scores, (boxes[kept], labels[kept], best[kept]))


def test_what_is_left_out_by_the_network_is_no_candidate(tmp_path: Path) -> None:
    boxes, scores = draw(3)
    scores[::2] = -1
    expected = expect_per_class(boxes, scores, DECODING)
    check(graph_of(tmp_path, DECODING, ANCHORS, 3), boxes, scores, expected)
    nothing = (boxes[:0], torch.zeros(0), torch.zeros(0))
    check(graph_of(tmp_path, DECODING, ANCHORS, 3), boxes, scores * 0 - 1, nothing)


def test_without_a_limit_the_candidates_have_that_of_the_format(tmp_path: Path) -> None:
    """None of them overlaps: as many are found as were let in, the best ones."""
    side, classes = 30, 5
    decoding = {**DECODING, "max_candidates": None, "max_detections": 5000}
    low = torch.cartesian_prod(torch.arange(side), torch.arange(side)).flip(1) / side
    boxes = torch.cat([low, low + 0.9 / side], dim=1)
    generator = torch.Generator().manual_seed(0)
    ranks = torch.randperm(side**2 * classes, generator=generator)
    scores = (0.5 + ranks / 10_000).view(-1, classes)
    best, pair = scores.flatten().topk(MOST_CANDIDATES)
    expected = (boxes[pair // classes], pair % classes, best)
    check(graph_of(tmp_path, decoding, side**2, classes), boxes, scores, expected)


@pytest.mark.parametrize("decoding", [DECODING, ACROSS])
def test_the_options_are_those_of_the_config(tmp_path: Path, decoding: dict[str, Any]) -> None:
    model = tables(graph_of(tmp_path, decoding, ANCHORS, 7))
    codes = [model.operatorCodes[each.opcodeIndex] for each in model.subgraphs[0].operators]
    (place,) = (i for i, code in enumerate(codes) if code.customCode)
    assert codes[place].customCode == b"TFLite_Detection_PostProcess"
    options = bytes(model.subgraphs[0].operators[place].customOptions)
    assert flexbuffers.Loads(options) == pytest.approx(
        {
            "max_detections": 25,
            "max_classes_per_detection": 1,
            "use_regular_nms": False,
            "nms_score_threshold": 0.2,
            "nms_iou_threshold": 0.4,
            "num_classes": 7,
            "y_scale": 1.0,
            "x_scale": 1.0,
            "h_scale": 1.0,
            "w_scale": 1.0,
        }
    )
