"""What is done to a picture and its boxes before the network: SSD augmentation, or a resize.

Built on albumentations, so that masks can go the same way. Inside the pipelines boxes are
float64 shares of the image sides with a fifth column, the row of the box in the input.
Source: Liu et al., "SSD: Single Shot MultiBox Detector", section 2.2, data augmentation, and
section 3.6, the zoom-out.
"""

import os
import random
from typing import Any, Literal, Protocol

import cv2
import numpy as np
from typing_extensions import override

from mnv2_dense.ops.legacy_resize import resize_legacy
from mnv2_dense.photometric import PhotometricDistortion
from mnv2_dense.structures import ImageSize

# Without this the import below asks the network for a newer release.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

import albumentations as A
from albumentations.augmentations.crops.transforms import BaseCrop

Resize = Literal["bilinear", "legacy_bilinear"]
"""OpenCV's bilinear, or that of TensorFlow 1 (see `resize_legacy`)."""
Transformed = tuple[np.ndarray, np.ndarray, np.ndarray]

MIN_BOX_SIDE = 1.0
"""Boxes thinner than this many pixels of the network's input are dropped."""

MIN_IOUS = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9)
"""The crop's options for the least IoU with some box. Source: SSD, section 2.2 (0 is "any")."""

ASPECT_RATIOS = (0.5, 2.0)
"""Range of the crop's width / height. Source: SSD, section 2.2."""

CROP_TRIALS = 50
"""Crops drawn per option before another option is tried. Source: SSD's released sampler."""

MAX_CANVAS_PIXELS = 64_000_000
"""The zoom-out never makes a larger canvas, so that a huge picture cannot fill the memory."""


class DetectionTransform(Protocol):
    """A picture and its boxes, made ready for the network."""

    def __call__(
        self, image: np.ndarray, boxes: np.ndarray, labels: np.ndarray, seed: int
    ) -> Transformed:
        """The image at the input size, and the boxes and labels that are left.

        Args:
            image: uint8 RGB [H, W, 3].
            boxes: float32 [N, 4], xyxy in pixels of `image`.
            labels: int64 [N].
            seed: Decides every random choice of this call.

        Returns:
            uint8 [height, width, 3], or float32 0-255 where the transform does not round;
            float32 [M, 4] in its pixels, int64 [M].
        """
        ...


class EvalTransform:
    """A plain bilinear resize to `size`; the aspect ratio is not kept.

    Pictures resized by `legacy_bilinear` are not rounded, as those the releases were measured on.
    """

    def __init__(self, size: ImageSize, resize: Resize = "bilinear") -> None:
        self._pipeline = _compose([_resize(size, resize, rounded=False)])

    def __call__(
        self, image: np.ndarray, boxes: np.ndarray, labels: np.ndarray, seed: int = 0
    ) -> Transformed:
        """See `DetectionTransform`; nothing here is random."""
        return _run(self._pipeline, image, boxes, labels, seed, random.Random(seed))


class TrainTransform:
    """SSD's augmentation: zoom-out, IoU-constrained crop, flip, resize, photometric distortion.

    Differs from the paper: the colours are distorted last, on the resized picture, which costs a
    third; the canvas of the zoom-out is distorted with it.

    Args:
        size: The network's input.
        mean: RGB colour of the zoom-out's canvas, 0-255.
        photometric: Probability of each of the four colour distortions.
        expand: Probability of the zoom-out.
        expand_max_ratio: Largest ratio of canvas side to picture side.
        iou_crop: Probability of a crop.
        iou_crop_min_scale: Smallest ratio of crop side to picture side.
        horizontal_flip: Probability of the flip.
        resize: How pictures are brought to `size`; always rounded, for the distortion.
    """

    def __init__(
        self,
        size: ImageSize,
        mean: tuple[float, float, float],
        photometric: float,
        expand: float,
        expand_max_ratio: float,
        iou_crop: float,
        iou_crop_min_scale: float,
        horizontal_flip: float,
        resize: Resize = "bilinear",
    ) -> None:
        self._pipeline = _compose(
            [
                Expand(expand_max_ratio, fill=mean, p=expand),
                IoUCrop(iou_crop_min_scale, p=iou_crop),
                A.HorizontalFlip(p=horizontal_flip),
                _resize(size, resize, rounded=True),
            ]
        )
        self._photometric = PhotometricDistortion(photometric)

    def __call__(
        self, image: np.ndarray, boxes: np.ndarray, labels: np.ndarray, seed: int
    ) -> Transformed:
        """See `DetectionTransform`."""
        generator = random.Random(seed)
        image, boxes, labels = _run(self._pipeline, image, boxes, labels, seed, generator)
        return self._photometric(image, generator), boxes, labels


class Expand(A.Pad):
    """Zoom-out: the picture at a random place on a canvas of one colour.

    Args:
        max_ratio: The ratio of canvas side to picture side is uniform in [1, max_ratio].
        fill: Colour of the canvas.
        fill_mask: Value of a mask's canvas.
        p: Probability.
    """

    def __init__(
        self,
        max_ratio: float,
        fill: tuple[float, ...] | float,
        fill_mask: tuple[float, ...] | float = 0,
        p: float = 0.5,
    ) -> None:
        # uint8 canvases hold whole numbers: OpenCV would cut the fraction off.
        colour = tuple(round(value) for value in fill) if isinstance(fill, tuple) else fill
        super().__init__(fill=colour, fill_mask=fill_mask, p=p)
        self.max_ratio = max_ratio

    @override
    def get_params_dependent_on_data(
        self, params: dict[str, Any], data: dict[str, Any]
    ) -> dict[str, Any]:
        """Pixels of canvas on each side."""
        height, width = params["shape"][:2]
        limit = max(1.0, (MAX_CANVAS_PIXELS / (height * width)) ** 0.5)
        ratio = min(self.py_random.uniform(1.0, self.max_ratio), limit)
        vertical, horizontal = int(height * ratio) - height, int(width * ratio) - width
        top, left = self.py_random.randint(0, vertical), self.py_random.randint(0, horizontal)
        return {
            "pad_top": top,
            "pad_bottom": vertical - top,
            "pad_left": left,
            "pad_right": horizontal - left,
        }


class IoUCrop(BaseCrop):
    """A random crop that overlaps some box by a least IoU.

    The least IoU is one of `MIN_IOUS`. Boxes whose centre is in the crop stay and are clipped,
    others go; one at least stays. If no trial of an option fits, another option is drawn, among
    them again "no crop" with its probability 1 - p. A picture without boxes is cropped freely.

    Args:
        min_scale: Sides of the crop are uniform in [min_scale, 1] of the picture's.
        p: Probability of a crop.
    """

    def __init__(self, min_scale: float, p: float) -> None:
        super().__init__(p=p)
        self.min_scale = min_scale

    @override
    def get_params_dependent_on_data(
        self, params: dict[str, Any], data: dict[str, Any]
    ) -> dict[str, Any]:
        """The crop, `crop_coords`, in pixels xyxy; the whole picture if none fits."""
        size = ImageSize(*params["shape"][:2])
        boxes = data["bboxes"][:, :4] * _scale(size)
        for index, min_iou in enumerate(self.random_generator.permutation(MIN_IOUS)):
            if index and self.py_random.random() >= self.p:
                break
            crops = self._draw(size)
            fitting = np.flatnonzero(_fits(crops, boxes, min_iou))
            if len(fitting):
                return {"crop_coords": tuple(crops[fitting[0]].tolist())}
        return {"crop_coords": (0, 0, size.width, size.height)}

    def _draw(self, size: ImageSize) -> np.ndarray:
        """Crops of an allowed aspect ratio among `CROP_TRIALS` tries, int64 [M, 4] xyxy."""
        scale_w, scale_h, shift_x, shift_y = self.random_generator.random((4, CROP_TRIALS))
        span = 1.0 - self.min_scale
        width = np.maximum(1, (size.width * (self.min_scale + span * scale_w)).astype(np.int64))
        height = np.maximum(1, (size.height * (self.min_scale + span * scale_h)).astype(np.int64))
        left = (shift_x * (size.width - width + 1)).astype(np.int64)
        top = (shift_y * (size.height - height + 1)).astype(np.int64)
        ratio = width / height
        allowed = (ratio >= ASPECT_RATIOS[0]) & (ratio <= ASPECT_RATIOS[1])
        return np.stack([left, top, left + width, top + height], axis=1)[allowed]

    @override
    def apply_to_bboxes(
        self, bboxes: np.ndarray, crop_coords: tuple[int, int, int, int], **params: Any
    ) -> np.ndarray:
        """Boxes whose centre is in the crop, clipped to it."""
        crop = np.array(crop_coords, dtype=np.float64)
        kept = bboxes.copy()
        kept[:, :4] *= _scale(ImageSize(*params["shape"][:2]))
        kept = kept[_centres_inside(crop[None], kept[:, :4])[0]]
        kept[:, :4] = np.clip(kept[:, :4], np.tile(crop[:2], 2), np.tile(crop[2:], 2))
        kept[:, :4] = (kept[:, :4] - np.tile(crop[:2], 2)) / np.tile(crop[2:] - crop[:2], 2)
        return kept


class LegacyResize(A.Resize):
    """A resize by TensorFlow 1's rule; masks take the nearest pixel.

    Args:
        size: Of the result.
        rounded: Whether the picture is uint8 again; float32 0-255 otherwise.
    """

    def __init__(self, size: ImageSize, *, rounded: bool) -> None:
        super().__init__(size.height, size.width)
        self.rounded = rounded

    @override
    def apply(self, img: np.ndarray, **params: Any) -> np.ndarray:
        """The resized picture."""
        resized = resize_legacy(img, ImageSize(self.height, self.width))
        return np.rint(resized).astype(np.uint8) if self.rounded else resized


def _fits(crops: np.ndarray, boxes: np.ndarray, min_iou: float) -> np.ndarray:
    """Which crops hold the centre of a box that they overlap enough; all if there is no box."""
    if not len(boxes):
        return np.ones(len(crops), dtype=bool)
    overlapping = _iou(crops, boxes) >= min_iou
    return np.asarray((_centres_inside(crops, boxes) & overlapping).any(axis=1))


def _centres_inside(crops: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Whether the centre of box n lies in crop m, bool [M, N]."""
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    inside = (centres >= crops[:, None, :2]) & (centres < crops[:, None, 2:])
    return np.asarray(inside.all(axis=2))


def _iou(crops: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """IoU of every crop with every box, [M, N]."""
    low = np.maximum(crops[:, None, :2], boxes[:, :2])
    high = np.minimum(crops[:, None, 2:], boxes[:, 2:])
    shared = (high - low).clip(min=0).prod(axis=2)
    crop_area = (crops[:, 2:] - crops[:, :2]).prod(axis=1)[:, None]
    return shared / (crop_area + (boxes[:, 2:] - boxes[:, :2]).prod(axis=1) - shared)


def _scale(size: ImageSize) -> np.ndarray:
    return np.array([size.width, size.height, size.width, size.height], dtype=np.float64)


def _resize(size: ImageSize, rule: Resize, *, rounded: bool) -> A.Resize:
    if rule == "legacy_bilinear":
        return LegacyResize(size, rounded=rounded)
    return A.Resize(size.height, size.width, interpolation=cv2.INTER_LINEAR)


def _compose(steps: list[A.BasicTransform | A.BaseCompose]) -> A.Compose:
    # Boxes are checked once at the end, at the size the network sees.
    boxes = A.BboxParams(
        format="albumentations",
        min_width=MIN_BOX_SIDE,
        min_height=MIN_BOX_SIDE,
        check_each_transform=False,
        clip=True,
        filter_invalid_bboxes=True,
    )
    return A.Compose(steps, bbox_params=boxes)


def _run(
    pipeline: A.Compose,
    image: np.ndarray,
    boxes: np.ndarray,
    labels: np.ndarray,
    seed: int,
    generator: random.Random,
) -> Transformed:
    # One generator for all steps: `set_random_seed` would give each step the same numbers, and
    # zoom-out and flip would always come together.
    pipeline.set_random_state(np.random.default_rng(seed), generator)
    rows = np.empty((len(boxes), 5), dtype=np.float64)
    rows[:, :4] = boxes / _scale(ImageSize(*image.shape[:2]))
    rows[:, 4] = np.arange(len(boxes))
    result = pipeline(image=image, bboxes=rows)
    # albumentations returns four columns when no box is left.
    rows = result["bboxes"].reshape(-1, 5) if len(result["bboxes"]) else np.empty((0, 5))
    new_size = ImageSize(*result["image"].shape[:2])
    new_boxes = (rows[:, :4] * _scale(new_size)).astype(np.float32)
    return result["image"], new_boxes, labels[rows[:, 4].astype(np.int64)]
