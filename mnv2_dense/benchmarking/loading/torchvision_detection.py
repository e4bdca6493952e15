"""torchvision's own way from a file to what its detectors are trained on.

Source: references/detection/presets.py of torchvision 0.27, `DetectionPresetTrain` with
`use_v2`; what `GeneralizedRCNNTransform` does to it then inside of ssdlite320.
"""

from collections import defaultdict
from pathlib import Path
from typing import Any, Literal

import torch
from PIL import Image
from torch import Tensor
from torchvision import tv_tensors
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.transforms import v2

from mnv2_dense.structures import BoxTargets

Policy = Literal["ssdlite", "ssd"]
Backend = Literal["pil", "tv_tensor"]


def preset(policy: Policy, backend: Backend) -> v2.Compose:
    """The training transform of the reference scripts."""
    steps: list[v2.Transform] = [v2.ToImage()] if backend == "tv_tensor" else []
    if policy == "ssd":
        fill: Any = defaultdict(lambda: (123.0, 117.0, 104.0), {tv_tensors.Mask: 0})
        steps += [v2.RandomPhotometricDistort(), v2.RandomZoomOut(fill=fill)]
    steps += [v2.RandomIoUCrop(), v2.RandomHorizontalFlip(0.5)]
    if backend == "pil":
        steps.append(v2.ToImage())
    xyxy = tv_tensors.BoundingBoxFormat.XYXY
    steps += [v2.ToDtype(torch.float32, scale=True), v2.ConvertBoundingBoxFormat(xyxy)]
    return v2.Compose([*steps, v2.SanitizeBoundingBoxes(), v2.ToPureTensor()])


def resizing() -> GeneralizedRCNNTransform:
    """What ssdlite320_mobilenet_v3_large does to its pictures before the backbone."""
    half = [0.5, 0.5, 0.5]
    return GeneralizedRCNNTransform(320, 320, half, half, size_divisible=1, fixed_size=(320, 320))


def load(
    transform: v2.Compose,
    resize: GeneralizedRCNNTransform | None,
    path: Path,
    targets: BoxTargets,
    seed: int,
) -> tuple[Any, Any]:
    """A sample: the picture and its targets, resized and normalised if asked."""
    torch.manual_seed(seed)
    with Image.open(path) as file:
        picture = file.convert("RGB")
    boxes = tv_tensors.BoundingBoxes(
        targets.boxes,
        format="XYXY",  # pyrefly: ignore[unexpected-keyword]
        canvas_size=(picture.height, picture.width),  # pyrefly: ignore[unexpected-keyword]
    )
    image, found = transform(picture, {"boxes": boxes, "labels": targets.labels})
    assert isinstance(image, Tensor)
    return (image, found) if resize is None else resize([image], [found])
