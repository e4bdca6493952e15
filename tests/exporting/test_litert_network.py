from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mnv2_dense.detection.coding import encode_boxes
from mnv2_dense.detection.network import DetectorOutputs
from mnv2_dense.exporting.litert_network import LiteRtDetector, LiteRtSegmenter, PooledHead
from mnv2_dense.ops.folding import fold_norms
from mnv2_dense.prediction.network import DeployedDetector
from mnv2_dense.segmentation.head import Aspp, DeepLabV3Head
from mnv2_dense.structures import FeatureSpec, ImageSize
from tests.exporting.small_networks import (
    MEAN,
    SIZE,
    STD,
    detector,
    pictures,
    segmenter,
    spread,
)

NAN, INF = float("nan"), float("inf")


@dataclass
class Given(nn.Module):
    """Says the same of every picture."""

    outputs: DetectorOutputs

    def __post_init__(self) -> None:
        super().__init__()

    def forward(self, images: Tensor) -> DetectorOutputs:
        return self.outputs


def corners(encodings: Tensor) -> Tensor:
    """Boxes xyxy of encodings, as TFLite_Detection_PostProcess decodes them."""
    y, x, log_height, log_width = encodings.double().unbind(-1)
    width, height = log_width.exp(), log_height.exp()
    return torch.stack([x - width / 2, y - height / 2, x + width / 2, y + height / 2], dim=-1)


@pytest.mark.parametrize("clip", [True, False])
def test_encodings_and_scores_are_those_of_the_deployed_network(clip: bool) -> None:
    images = torch.from_numpy(pictures(1))
    deployed = detector()
    with torch.no_grad():
        found = LiteRtDetector(deployed, SIZE, clip=clip)(images)
        scores, boxes = deployed(images)
    usable = (found["scores"] >= 0).all(-1)
    assert usable.float().mean() > 0.5
    torch.testing.assert_close(found["scores"][usable], scores[usable])
    assert (found["scores"][~usable] == -1).all()
    if clip:
        boxes = boxes.clamp(0, 1)
        assert usable.all() == (boxes[..., 2:] > boxes[..., :2]).all()
    decoded = corners(found["encodings"])[usable].float()
    torch.testing.assert_close(decoded, boxes[usable], atol=1e-5, rtol=1e-5)


# (cx, cy, w, h), and what is left of it within the picture.
PLACES: list[tuple[list[float], list[float] | None, bool]] = [
    ([0.5, 0.4, 0.2, 0.1], [0.4, 0.35, 0.6, 0.45], True),
    ([1.0, 0.5, 0.2, 0.2], [0.9, 0.4, 1.0, 0.6], True),
    ([0.0, 0.0, 4.0, 4.0], [0.0, 0.0, 1.0, 1.0], True),
    ([2.0, 0.5, 0.2, 0.2], None, True),
    ([0.5, -0.1, 0.2, 0.2], None, True),
    ([0.5, 0.5, 1e-7, 0.2], None, False),
    ([0.5, 0.5, 0.2, 2e-6], [0.4, 0.499999, 0.6, 0.500001], True),
    ([1e6, 0.5, 0.5, 0.5], None, False),
    ([1e6, 0.5, 3.0, 0.5], None, True),
    ([NAN, 0.5, 0.2, 0.2], None, False),
    ([0.5, 0.5, NAN, 0.2], None, False),
    ([INF, 0.5, 0.2, 0.2], None, False),
    ([0.5, -INF, 0.2, 0.2], None, False),
]
"""The last says whether it is a box at all where boxes are not clipped."""


def of_places(activation: Any = "sigmoid") -> DeployedDetector:
    boxes = torch.tensor([place for place, _, _ in PLACES])
    anchors = torch.tensor([0.5, 0.5, 1.0, 1.0]).expand_as(boxes)
    logits = torch.linspace(-3, 3, len(PLACES) * 3).view(1, -1, 3)
    given = DetectorOutputs(logits, encode_boxes(boxes, anchors)[None], anchors)
    return DeployedDetector(Given(given), MEAN, STD, activation)


@pytest.mark.parametrize("clip", [True, False])
def test_what_is_no_box_has_no_score_and_an_encoding_of_plain_numbers(clip: bool) -> None:
    network = LiteRtDetector(of_places(), SIZE, clip=clip)
    found = network(torch.zeros(1, *SIZE, 3, dtype=torch.uint8))
    assert found["encodings"].isfinite().all()
    wanted = [seen is not None if clip else usable for _, seen, usable in PLACES]
    assert (found["scores"][0] > 0).all(-1).tolist() == wanted
    assert (found["scores"][0] == -1).all(-1).tolist() == [not each for each in wanted]
    for box, (place, seen, _), usable in zip(
        corners(found["encodings"])[0], PLACES, wanted, strict=True
    ):
        x, y, width, height = place
        whole = [x - width / 2, y - height / 2, x + width / 2, y + height / 2]
        if usable:
            expected = torch.tensor(seen if clip and seen is not None else whole).double()
            torch.testing.assert_close(box, expected, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_scores_are_of_the_activation_without_the_background(activation: str) -> None:
    network = LiteRtDetector(of_places(activation), SIZE, clip=False)
    found = network(torch.zeros(1, *SIZE, 3, dtype=torch.uint8))["scores"][0, 0]
    logits = np.linspace(-3, 3, len(PLACES) * 3)[:3]
    exponents = np.exp(logits)
    shares = exponents / (exponents.sum() if activation == "softmax" else 1 + exponents)
    np.testing.assert_allclose(found, shares[1:], rtol=1e-5)


@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize("size", [SIZE, ImageSize(41, 33)])
def test_label_maps_and_logits_are_those_of_the_deployed_network(
    size: ImageSize, align_corners: bool
) -> None:
    images = torch.from_numpy(pictures(1, size))
    with torch.no_grad():
        expected = segmenter()(images)
        found = LiteRtSegmenter(segmenter(), align_corners=align_corners)(images)
    logits = found["class_logits"].permute(0, 3, 1, 2)
    torch.testing.assert_close(logits, expected, atol=1e-5, rtol=1e-5)
    pixels = nn.functional.interpolate(
        logits, tuple(size), mode="bilinear", align_corners=align_corners
    )
    assert found["label_map"].dtype == torch.uint8
    assert torch.equal(found["label_map"].long(), pixels.argmax(1))
    assert len(found["label_map"].unique()) > 1


def test_only_deeplabs_head_is_replaced() -> None:
    assert isinstance(LiteRtSegmenter(segmenter(), align_corners=True).network.head, PooledHead)
    deployed = segmenter()
    deployed.network.head = nn.Identity()
    head = LiteRtSegmenter(deployed, align_corners=True).network.head
    assert isinstance(head, nn.Identity)


@pytest.mark.parametrize("aspp", ["none", "dense", "separable"])
def test_a_pooled_vector_is_projected_once_with_the_same_result(aspp: Aspp) -> None:
    torch.manual_seed(0)
    head = spread(DeepLabV3Head(FeatureSpec("tap", 16, 16), 3, aspp=aspp, channels=8))
    for layer in head.modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            nn.init.normal_(layer.bias)
    folded = fold_norms(head)
    assert isinstance(folded, DeepLabV3Head)
    features = {"tap": torch.rand(2, 16, 5, 7)}
    expected = folded(features)
    assert expected.std() > 0.1
    torch.testing.assert_close(PooledHead(folded)(features), expected, atol=1e-5, rtol=1e-5)
