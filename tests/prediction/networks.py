"""Engines without weights: what they see can be said by hand."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from typing_extensions import override

from mnv2_dense.ops.resize import resize_map
from mnv2_dense.prediction.engine import DetectorArrays, Engine, SegmenterArrays
from mnv2_dense.prediction.manifest import Manifest
from mnv2_dense.structures import Category, ImageSize

CATEGORIES = (Category(3, "red"), Category(7, "green"), Category(9, "blue"))
SIZE = ImageSize(32, 48)
STRIDE = 8


def manifest(
    task: str = "detection", *, batch: int | None = None, large_pictures: str = "shrink"
) -> Manifest:
    return Manifest(
        task="detection" if task == "detection" else "segmentation",
        categories=CATEGORIES,
        input_size=SIZE,
        resize="bilinear",
        mean=(10.0, 20.0, 30.0),
        std=(1.0, 1.0, 1.0),
        decoding={
            "align_corners": False,
            "large_pictures": large_pictures,
            "window_overlap": 0.25,
        },
        precision="float32",
        batch=batch,
        dynamic_size=False,
        config={},
        version="0",
    )


class Brightness(Engine):
    """Two boxes per picture: its class is the brightest colour, the score that colour's mean."""

    def __init__(self, *, batch: int | None = None) -> None:
        self.name = "by hand"
        self.manifest = manifest(batch=batch)
        self.batches: list[int] = []

    @override
    def run(self, images: NDArray[np.uint8], score_threshold: float = 0.0) -> DetectorArrays:
        assert images.shape[1:] == (*SIZE, 3)
        self.batches.append(len(images))
        means = images.mean((1, 2)).astype(np.float32) / 255
        box = np.array([[0.25, 0.5, 0.75, 1.0], [0.0, 0.0, 0.5, 0.5]], np.float32)
        best = means.max(1)
        return DetectorArrays(
            np.repeat(box[None], len(images), axis=0),
            np.stack([best, np.zeros_like(best)], axis=1),
            np.repeat(means.argmax(1)[:, None], 2, axis=1),
        )


class Colors(Engine):
    """Labels pixels by their brightest colour, in cells of `STRIDE` pixels."""

    def __init__(self, *, large_pictures: str = "shrink", batch: int | None = None) -> None:
        self.name = "by hand"
        self.manifest = manifest("segmentation", large_pictures=large_pictures, batch=batch)
        self.seen: list[NDArray[np.uint8]] = []

    @override
    def run(self, images: NDArray[np.uint8], score_threshold: float = 0.0) -> SegmenterArrays:
        assert images.shape[1:] == (*SIZE, 3)
        self.seen.extend(images)
        logits = color_logits(images)
        pixels = resize_map(torch.from_numpy(logits), SIZE, align_corners=False)
        return SegmenterArrays(pixels.argmax(1).byte().numpy(), logits)


def color_logits(images: NDArray[Any]) -> NDArray[np.float32]:
    """[B, 3, h, w]: the means of the colours in every cell, from 0 to 8."""
    rows, columns = SIZE.height // STRIDE, SIZE.width // STRIDE
    cells = images.reshape(len(images), rows, STRIDE, columns, STRIDE, 3).mean((2, 4))
    return (cells / 32).transpose(0, 3, 1, 2).astype(np.float32)
