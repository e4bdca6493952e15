"""Networks of a few layers, which every format writes in seconds."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from typing_extensions import override

from mnv2_dense.backbone.backbone import Backbone
from mnv2_dense.backbone.blocks import ConvNormAct
from mnv2_dense.detection.anchors import AnchorGenerator
from mnv2_dense.detection.decode import Decoder
from mnv2_dense.detection.head import SSDHead
from mnv2_dense.detection.network import Detector
from mnv2_dense.ops.folding import fold_norms
from mnv2_dense.ops.resize import resize_map
from mnv2_dense.prediction.engine import DetectorArrays, SegmenterArrays
from mnv2_dense.prediction.manifest import Manifest
from mnv2_dense.prediction.network import DeployedDetector, DeployedSegmenter
from mnv2_dense.segmentation.head import DeepLabV3Head
from mnv2_dense.segmentation.network import Segmenter
from mnv2_dense.structures import Category, Detections, FeatureSpec, ImageSize

SIZE = ImageSize(32, 48)
CLASSES = 3
MEAN, STD = (120.0, 110.0, 100.0), (60.0, 50.0, 40.0)
DECODING: dict[str, Any] = {
    "score_threshold": 0.05,
    "nms": "per_class",
    "nms_iou_threshold": 0.5,
    "max_candidates": 100,
    "max_detections_per_class": None,
    "max_detections": 20,
}


class SmallBackbone(Backbone):
    """Two maps, behind convolutions padded as TensorFlow's SAME."""

    def __init__(self) -> None:
        super().__init__()
        self.specs = (FeatureSpec("fine", 8, 4), FeatureSpec("coarse", 16, 8))
        self.stem = ConvNormAct(3, 8, 3, stride=4, padding="same")
        self.block = ConvNormAct(8, 16, 3, stride=2, padding="same")

    @override
    def forward(self, images: Tensor) -> dict[str, Tensor]:
        fine = self.stem(images)
        return {"fine": fine, "coarse": self.block(fine)}


def detector(*, extra_channels: Sequence[int] = ()) -> DeployedDetector:
    """Of random weights that give scores of every size; a level more for each of the extra ones."""
    torch.manual_seed(0)
    backbone = SmallBackbone()
    anchors = AnchorGenerator(2 + len(extra_channels))
    head = SSDHead(backbone.specs, anchors.counts, CLASSES + 1, extra_channels=extra_channels)
    network = spread(Detector(backbone, head, anchors))
    return DeployedDetector(fold_norms(network), MEAN, STD, "softmax").eval()


def segmenter() -> DeployedSegmenter:
    """Of random weights, with DeepLabv3's light head."""
    torch.manual_seed(0)
    backbone = SmallBackbone()
    head = DeepLabV3Head(backbone.specs[1], CLASSES, channels=8)
    network = spread(Segmenter(backbone, head))
    return DeployedSegmenter(fold_norms(network), MEAN, STD).eval()


def spread(network: nn.Module) -> nn.Module:
    """Weights as large as He's, so that pictures make a difference."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight)
    return network


def manifest(task: str, decoding: Mapping[str, Any] = DECODING) -> Manifest:
    detects = task == "detection"
    return Manifest(
        task="detection" if detects else "segmentation",
        categories=tuple(Category(label, f'"<{label}>& é') for label in range(CLASSES)),
        input_size=SIZE,
        resize="bilinear",
        mean=MEAN,
        std=STD,
        decoding=decoding
        if detects
        else {"align_corners": True, "large_pictures": "shrink", "window_overlap": 0.25},
        precision="float32",
        batch=None,
        dynamic_size=True,
        config={"task": task},
        version="0",
    )


def pictures(count: int, size: ImageSize = SIZE) -> NDArray[np.uint8]:
    """Coarse noise, whose cells differ from each other."""
    cells = np.random.default_rng(0).integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)
    rows, columns = (np.arange(side) * 8 // side for side in size)
    return np.ascontiguousarray(cells[:, rows][:, :, columns])


def check_maps(
    arrays: DetectorArrays | SegmenterArrays, deployed: DeployedSegmenter, images: NDArray[np.uint8]
) -> None:
    """Label maps and logits are those of torch; there is more than one class."""
    assert isinstance(arrays, SegmenterArrays)
    with torch.no_grad():
        expected = deployed(torch.from_numpy(images))
    np.testing.assert_allclose(arrays.class_logits, expected, atol=1e-4)
    pixels = resize_map(expected, ImageSize(*images.shape[1:3]), align_corners=True)
    assert arrays.label_maps.dtype == np.uint8
    assert (arrays.label_maps == pixels.argmax(1).numpy()).mean() > 0.999
    assert len(np.unique(arrays.label_maps)) > 1


def expected_detections(
    deployed: DeployedDetector, images: NDArray[np.uint8], decoding: Mapping[str, Any] = DECODING
) -> list[Detections]:
    """By torch and the evaluation's decoder, in shares of the picture."""
    with torch.no_grad():
        outputs = deployed.outputs(torch.from_numpy(images))
        return Decoder(**decoding)(outputs, [ImageSize(1, 1)] * len(images))


def check_same(arrays: DetectorArrays | SegmenterArrays, expected: list[Detections]) -> None:
    """Every picture has the same boxes in the same order, and score 0 behind them."""
    assert isinstance(arrays, DetectorArrays)
    assert sum(len(each.scores) for each in expected) > 0
    for boxes, scores, labels, wanted in zip(*arrays, expected, strict=True):
        count = len(wanted.scores)
        assert (scores > 0).sum() == count
        np.testing.assert_allclose(scores[:count], wanted.scores, atol=1e-5)
        np.testing.assert_allclose(boxes[:count], wanted.boxes, atol=1e-5)
        np.testing.assert_array_equal(labels[:count], wanted.labels)
