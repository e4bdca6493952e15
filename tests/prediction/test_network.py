from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torchvision.ops import box_convert

from mnv2_dense import __version__
from mnv2_dense.builders import Task, build_task
from mnv2_dense.config.schema import DetectionConfig
from mnv2_dense.detection.network import DetectorOutputs
from mnv2_dense.prediction.manifest import read_manifest
from mnv2_dense.prediction.network import (
    DeployedDetector,
    DeployedSegmenter,
    deploy,
    describe,
)
from mnv2_dense.segmentation.network import SegmenterOutputs
from mnv2_dense.segmentation.task import SegmentationTask
from mnv2_dense.structures import ImageSize
from tests.exporting.networks import CATEGORIES, tiny_task

MEAN, STD = (10.0, 20.0, 30.0), (1.0, 2.0, 4.0)


@dataclass
class Given(nn.Module):
    """Says the same of every picture, and keeps what it was shown."""

    outputs: DetectorOutputs | SegmenterOutputs

    def __post_init__(self) -> None:
        super().__init__()
        self.seen = torch.zeros(0)

    def forward(self, images: Tensor) -> DetectorOutputs | SegmenterOutputs:
        self.seen = images
        return self.outputs


def drawn_outputs() -> DetectorOutputs:
    torch.manual_seed(0)
    return DetectorOutputs(torch.randn(2, 7, 4), torch.randn(2, 7, 4) * 5, torch.rand(7, 4))


def of_task(task: str, *overrides: str) -> Task:
    """With norms that are not the identity, in evaluation."""
    config, _ = tiny_task(task, *overrides)
    torch.manual_seed(0)
    built = build_task(config, CATEGORIES)
    for layer in built.network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight)
        elif isinstance(layer, nn.BatchNorm2d):
            assert layer.running_mean is not None
            assert layer.running_var is not None
            nn.init.uniform_(layer.running_mean, -0.3, 0.3)
            nn.init.uniform_(layer.running_var, 0.7, 1.4)
            nn.init.uniform_(layer.bias, -0.3, 0.3)
    return built.eval()


def noise(count: int, size: ImageSize) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, *size, 3), generator=generator, dtype=torch.uint8)


def test_the_network_is_shown_normalised_pictures_channels_first() -> None:
    network = Given(SegmenterOutputs(torch.zeros(1, 2, 1, 1)))
    images = noise(2, ImageSize(5, 7))
    DeployedSegmenter(network, MEAN, STD)(images)
    expected = (images.numpy().astype(np.float32) - MEAN) / STD
    assert network.seen.dtype == torch.float32
    np.testing.assert_allclose(network.seen, expected.transpose(0, 3, 1, 2), rtol=1e-6)
    assert network.seen.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_scores_are_those_of_the_activation_without_the_background(activation: Any) -> None:
    outputs = drawn_outputs()
    scores = DeployedDetector(Given(outputs), MEAN, STD, activation)(noise(2, ImageSize(4, 4)))[0]
    exponents = np.exp(outputs.class_logits.double().numpy())
    total = exponents.sum(-1, keepdims=True) if activation == "softmax" else 1 + exponents
    np.testing.assert_allclose(scores, (exponents / total)[..., 1:], rtol=1e-5)


def test_boxes_are_decoded_from_their_anchors_and_not_clipped() -> None:
    outputs = drawn_outputs()
    boxes = DeployedDetector(Given(outputs), MEAN, STD, "softmax")(noise(2, ImageSize(4, 4))).boxes
    x, y, width, height = outputs.anchors.double().unbind(-1)
    dx, dy, dw, dh = outputs.box_deltas.double().unbind(-1)
    decoded = [x + dx / 10 * width, y + dy / 10 * height]
    decoded += [width * (dw / 5).exp(), height * (dh / 5).exp()]
    expected = box_convert(torch.stack(decoded, dim=-1), "cxcywh", "xyxy")
    torch.testing.assert_close(boxes.double(), expected, rtol=1e-5, atol=1e-6)
    assert boxes.min() < 0
    assert boxes.max() > 1


def test_a_folded_detector_computes_what_the_task_computes() -> None:
    task = of_task("detection")
    images = noise(2, ImageSize(64, 64))
    deployed = deploy(task)
    assert isinstance(deployed, DeployedDetector)
    given = (images.permute(0, 3, 1, 2) - task.mean.view(3, 1, 1)) / task.std.view(3, 1, 1)
    with torch.no_grad():
        expected, found = task.network(given), deployed.outputs(images)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)
    assert expected.class_logits.std() > 0.1


@pytest.mark.parametrize("stride", [16, 8])
def test_a_folded_segmenter_computes_what_the_task_computes_at_the_stride_of_evaluation(
    stride: int,
) -> None:
    task = of_task("segmentation", f"evaluation.output_stride={stride}")
    images = noise(2, ImageSize(65, 65))
    deployed = deploy(task)
    given = (images.permute(0, 3, 1, 2) - task.mean.view(3, 1, 1)) / task.std.view(3, 1, 1)
    assert isinstance(task, SegmentationTask)
    assert (task.other_stride is None) == (stride == 16)
    with torch.no_grad():
        other, network = task.other_stride, task.network
        expected = network(given) if other is None else other(network, given)
        expected, found = expected.class_logits, deployed(images)
    assert found.shape[2:] == (-(-65 // stride),) * 2
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    assert expected.std() > 0.1


@pytest.mark.parametrize("task", ["detection", "segmentation"])
def test_what_is_deployed_has_its_norms_folded_and_leaves_the_task_alone(task: str) -> None:
    built = of_task(task)
    before = {name: value.clone() for name, value in built.network.state_dict().items()}
    deployed = deploy(built)
    assert not deployed.training
    assert not any(value.requires_grad for value in deployed.parameters())
    left = [name for name, each in deployed.named_modules() if isinstance(each, nn.BatchNorm2d)]
    assert [name for name in left if "image_pooling" not in name] == []
    after = built.network.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_a_detector_says_what_it_is() -> None:
    config, _ = tiny_task("detection", "input.height=96", "decode.score_threshold=0.25")
    assert isinstance(config, DetectionConfig)
    manifest = describe(config, CATEGORIES)
    assert manifest.task == "detection"
    assert manifest.categories == CATEGORIES
    assert manifest.input_size == ImageSize(96, 64)
    assert (manifest.mean, manifest.std) == (config.input.mean, config.input.std)
    assert manifest.resize == config.input.resize
    assert manifest.decoding["score_threshold"] == 0.25
    assert set(manifest.decoding) >= {"nms", "nms_iou_threshold", "max_detections"}
    assert manifest.config["input"]["height"] == 96
    assert manifest.version == __version__
    assert (manifest.precision, manifest.batch, manifest.dynamic_size) == ("float32", None, True)
    assert manifest.licence is None


def test_a_segmenter_says_what_is_done_with_its_logits() -> None:
    config, _ = tiny_task(
        "segmentation", "evaluation.large_pictures=window", "head.align_corners=false"
    )
    manifest = describe(config, CATEGORIES)
    assert (manifest.task, manifest.resize) == ("segmentation", "bilinear")
    assert manifest.input_size == ImageSize(65, 65)
    overlap = manifest.config["evaluation"]["window_overlap"]
    assert manifest.decoding == {
        "align_corners": False,
        "large_pictures": "window",
        "window_overlap": overlap,
    }


@pytest.mark.parametrize("task", ["detection", "segmentation"])
def test_what_is_said_is_read_again(task: str) -> None:
    config, _ = tiny_task(task)
    manifest = describe(
        config, CATEGORIES, precision="int8", batch=4, dynamic_size=False, licence="CC0"
    )
    assert (manifest.precision, manifest.batch, manifest.dynamic_size) == ("int8", 4, False)
    assert manifest.licence == "CC0"
    assert read_manifest(manifest.to_json(), "a.onnx") == manifest
