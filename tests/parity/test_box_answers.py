import numpy as np
import pytest
import torch

from mnv2_dense.detection.decode import Decoder
from mnv2_dense.importing.graph import Graph, Node
from mnv2_dense.parity.box_answers import Boxes
from mnv2_dense.structures import Category, Detections

OUTPUTS = ("boxes", "classes", "scores", "count")


def answers() -> Boxes:
    node = Node(
        "detection_post_process", "end", ("codes", "scores", "anchors"), OUTPUTS, {"num_classes": 1}
    )
    graph = Graph("a.tflite", [node], {"anchors": np.zeros((1, 4))}, {}, OUTPUTS, quantized=True)
    return Boxes(graph, Decoder(), [Category(1, "cat")])


def boxes(count: int) -> Detections:
    """Squares side by side."""
    left = torch.arange(count, dtype=torch.float32) * 10
    corners = torch.stack([left, left * 0, left + 8, left * 0 + 8], dim=1)
    return Detections(corners, torch.full((count,), 0.9), torch.zeros(count, dtype=torch.int64))


@pytest.mark.parametrize(
    ("found", "of", "same"), [(20, 20, True), (18, 20, True), (17, 20, False), (1, 2, True)]
)
def test_lost_boxes_are_counted(found: int, of: int, same: bool) -> None:
    compared = answers()
    compared._match(boxes(found), boxes(of))
    assert (compared.found, compared.boxes) == (found, of)
    words = f"ours has {found} of the file's {of} boxes; at most 10% may be lost"
    assert compared.rounded_misses() == ([] if same else [words])
    assert compared.misses() == compared.rounded_misses()


def test_boxes_of_low_scores_are_not_looked_for() -> None:
    compared = answers()
    compared._match(boxes(0), boxes(5)._replace(scores=torch.full((5,), 0.2)))
    assert compared.boxes == 0
    assert compared.rounded_misses() == []
