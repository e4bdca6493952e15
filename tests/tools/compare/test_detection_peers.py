from typing import Any

import pytest
import torch
from torch import Tensor

from tools.compare.detection_peers import MOBILENET_V2, PEERS, detect


@pytest.mark.parametrize("name", PEERS)
def test_every_anchor_of_a_smaller_input_is_predicted(name: str) -> None:
    network = PEERS[name](3, 96, None).train()
    boxes = torch.tensor([[10.0, 10.0, 60.0, 60.0]])
    losses = network(
        [torch.rand(3, 80, 70)] * 2, [{"boxes": boxes, "labels": torch.tensor([1])}] * 2
    )
    assert set(losses) == {"classification", "bbox_regression"}
    maps = network.backbone(torch.rand(2, 3, 96, 96)).values()
    assert [tuple(each.shape[-2:]) for each in maps] == [
        *((6, 6), (3, 3), (2, 2), (1, 1), (1, 1), (1, 1))
    ]


def test_those_that_take_mobilenet_v2s_weights_are_peers() -> None:
    assert set(MOBILENET_V2) < set(PEERS)


def test_their_background_is_no_label_here_and_a_hundred_detections_count() -> None:
    def network(images: list[Tensor]) -> list[dict[str, Tensor]]:
        assert images[0].max() == 1
        count = 120
        return [
            {
                "boxes": torch.arange(4.0).repeat(count, 1),
                "scores": torch.linspace(1, 0, count),
                "labels": torch.full((count,), 3),
            }
        ]

    theirs: Any = network
    found = detect(theirs, torch.full((3, 4, 4), 255, dtype=torch.uint8))
    assert found.labels.tolist() == [2] * 100
    assert found.scores[-1] > 0.16
    assert found.boxes.shape == (100, 4)
