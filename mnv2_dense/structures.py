"""The records that pass between the steps, from a picture to its detections or label map.

They are named tuples, not frozen dataclasses, because the data loader's pinning and
Lightning's device transfer both walk into named tuples and rebuild them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:  # What runs exported networks starts without torch.
    from torch import Tensor

IGNORE_INDEX = 255
"""Value of void in every label map in memory: it is neither trained on nor measured."""


class ImageSize(NamedTuple):
    """Size of an image or of a feature map, in pixels or cells."""

    height: int
    width: int


class FeatureSpec(NamedTuple):
    """What a head must know of a feature map: its tap's name, channels and stride."""

    name: str
    channels: int
    stride: int


class Category(NamedTuple):
    """One class of a data set: `category_id` as the data set numbers it, and its name."""

    category_id: int
    name: str


class SampleKey(NamedTuple):
    """Which sample to load, and the epoch that seeds its augmentation."""

    index: int
    epoch: int


class BoxTargets(NamedTuple):
    """Ground truth of one image: boxes [N, 4] xyxy pixels, labels [N] from 0."""

    boxes: Tensor
    labels: Tensor


class BatchTargets(NamedTuple):
    """Ground truth of a batch, the boxes of one image after those of the other.

    boxes [M, 4] xyxy pixels of the batch's images, labels [M] from 0, images [M] int64: the
    position in the batch of each box's image.
    """

    boxes: Tensor
    labels: Tensor
    images: Tensor


class Detections(NamedTuple):
    """Predictions for one image, best first.

    boxes [N, 4] xyxy in pixels of the original image, scores [N] in [0, 1], labels [N]
    from 0 (contiguous; background is not a label).
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor


class DetectionSample(NamedTuple):
    """One image ready for the network: image [3, H, W] uint8 RGB at the input size.

    `targets` are in pixels of `image`; `original_size` is the size of the stored file;
    `distortion` says what is still to be done to the colours: a `photometric.Distortion`.
    """

    image: Tensor
    targets: BoxTargets
    image_id: int
    original_size: ImageSize
    distortion: Sequence[float] | None = None


class DetectionBatch(NamedTuple):
    """Samples of one step: images [B, 3, H, W] uint8, their boxes, and one entry per image each.

    `bad_images` says which pictures were to be in it and could not be read, and why.
    `distortions` [B, 5] are still to be done to the colours, on the device.
    """

    images: Tensor
    targets: BatchTargets
    image_ids: list[int]
    original_sizes: list[ImageSize]
    bad_images: Sequence[str] = ()
    distortions: Tensor | None = None


class SegmentationSample(NamedTuple):
    """One image [3, H, W] uint8 RGB and its label map [H, W] uint8, `IGNORE_INDEX` for void.

    `distortion` says what is still to be done to the colours: a `photometric.Distortion`.
    """

    image: Tensor
    label_map: Tensor
    image_id: str
    distortion: Sequence[float] | None = None


class SegmentationBatch(NamedTuple):
    """Samples of one step on one canvas: images [B, 3, H, W] and label_maps [B, H, W], uint8.

    H and W are the largest of the batch. Smaller pictures stand at the top left, over zeros and
    `IGNORE_INDEX`; `original_sizes` says how far they reach. `bad_images` says which pictures were
    to be in it and could not be read, and why. `distortions` [B, 5] are still to be done to the
    colours, on the device.
    """

    images: Tensor
    label_maps: Tensor
    original_sizes: list[ImageSize]
    image_ids: list[str]
    bad_images: Sequence[str] = ()
    distortions: Tensor | None = None
