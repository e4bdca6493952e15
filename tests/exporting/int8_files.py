"""Files of 8 bits of the small networks, and what should be in them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.utils.rnn import pad_sequence
from typing_extensions import override

from mnv2_dense.exporting.int8 import quantize
from mnv2_dense.exporting.verify import verify
from mnv2_dense.ops.resize import resize_map
from mnv2_dense.prediction.engine import DetectorArrays, Engine, SegmenterArrays
from mnv2_dense.prediction.manifest import Manifest
from mnv2_dense.prediction.network import DeployedDetector
from mnv2_dense.structures import ImageSize
from tests.exporting.small_networks import (
    DECODING,
    detector,
    expected_detections,
    manifest,
    pictures,
    segmenter,
)


def uneven_detector() -> DeployedDetector:
    """With a layer that has one channel of huge weights, and one of none."""
    deployed = detector()
    with torch.no_grad():
        weight = deployed.network.get_parameter("backbone.block.0.weight")
        weight[3] *= 1000
        weight[5] = 0
    return deployed


class Kernel(NamedTuple):
    """A convolution's weights as whole numbers [out, in / groups, h, w], and their scales [out]."""

    steps: NDArray[np.int8]
    scales: NDArray[Any]


def rounded_kernels(deployed: nn.Module, levels: Callable[[int], int]) -> dict[str, Kernel]:
    """What a file of 8 bits should hold, by the names of the layers: a scale for each channel."""
    kernels = {}
    for name, layer in deployed.named_modules():
        if isinstance(layer, nn.Conv2d):
            weight = layer.weight.detach().double().numpy()
            largest = np.abs(weight).max((1, 2, 3))
            scales = largest / levels(layer.groups)
            steps = weight / np.where(scales > 0, scales, 1)[:, None, None, None]
            kernels[name] = Kernel(np.rint(steps).astype(np.int8), scales)
    return kernels


def check_kernels(found: Sequence[Kernel], expected: Mapping[str, Kernel]) -> None:
    """Every layer is there once, with its own whole numbers and scales."""
    assert len(found) == len(expected)
    for name, (steps, scales) in expected.items():
        same = [each for each in found if np.array_equal(each.steps, steps)]
        assert len(same) == 1, name
        used = scales > 0
        np.testing.assert_allclose(same[0].scales[used], scales[used], rtol=1e-5, err_msg=name)


def write_int8(name: str, task: str, path: Path) -> Manifest:
    """A file of 8 bits, and what it says of itself."""
    of = replace(manifest(task), precision="int8", dynamic_size=False)
    quantize(name, detector() if task == "detection" else segmenter(), of, path, pictures(16))
    return of


def check_nearly_same(engine: Engine, task: str) -> None:
    """An engine of 8 bits finds what torch finds, and not by computing as exactly."""
    verification = verify(engine, OfTorch(task), pictures(4))
    assert verification.counted > 0
    assert verification.same, verification
    assert all(difference > 0 for difference in verification.differences.values())
    if task == "segmentation":
        assert 0 < verification.noise < 0.08, verification


class OfTorch(Engine):
    """The networks above without a file."""

    def __init__(self, task: str) -> None:
        self.name, self.manifest = "torch", manifest(task)

    @override
    def run(
        self, images: NDArray[np.uint8], score_threshold: float = 0.0
    ) -> DetectorArrays | SegmenterArrays:
        if self.manifest.task == "detection":
            raised = {**DECODING, "score_threshold": max(0.05, score_threshold)}
            found = zip(*expected_detections(detector(), images, raised), strict=True)
            padded = (pad_sequence(list(each), batch_first=True).numpy() for each in found)
            return DetectorArrays(*padded)
        with torch.no_grad():
            logits = segmenter()(torch.from_numpy(images))
        pixels = resize_map(logits, ImageSize(*images.shape[1:3]), align_corners=True)
        return SegmenterArrays(pixels.argmax(1).byte().numpy(), logits.numpy())
