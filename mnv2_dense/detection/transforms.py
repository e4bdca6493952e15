"""What is done to a picture and its boxes before the network: SSD augmentation, or a resize.

Built on albumentations, so that masks can go the same way. Inside the pipelines boxes are
float64 shares of the image sides with a fifth column, the row of the box in the input.
Source: Liu et al., "SSD: Single Shot MultiBox Detector", section 2.2, data augmentation, and
section 3.6, the zoom-out.
"""

import os
import random
from collections.abc import Callable
from typing import Any, Literal, Protocol

import cv2
import numpy as np
from typing_extensions import override

from mnv2_dense.detection.cropping import (
    MIN_IOUS,
    Window,
    centres_inside,
    draw_canvas,
    draw_crop,
)
from mnv2_dense.ops.legacy_resize import resize_legacy
from mnv2_dense.photometric import PhotometricDistortion
from mnv2_dense.placing import Span, look, place
from mnv2_dense.structures import ImageSize

# Without this the import below asks the network for a newer release.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

import albumentations as A
from albumentations.core.bbox_utils import BboxProcessor
from albumentations.core.type_definitions import Targets

Resize = Literal["bilinear", "legacy_bilinear"]
"""OpenCV's bilinear, or that of TensorFlow 1 (see `resize_legacy`)."""
Transformed = tuple[np.ndarray, np.ndarray, np.ndarray]

MIN_BOX_SIDE = 1.0
"""Boxes thinner than this many pixels of the network's input are dropped."""

_ROUNDING = 1e-6


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
        self._pipeline = _compose([PlainResize(size, resize, rounded=False)])

    def __call__(
        self, image: np.ndarray, boxes: np.ndarray, labels: np.ndarray, seed: int = 0
    ) -> Transformed:
        """See `DetectionTransform`; nothing here is random."""
        return _run(self._pipeline, image, boxes, labels, seed)


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
                ZoomAndCrop(
                    size,
                    fill=mean,
                    expand=expand,
                    expand_max_ratio=expand_max_ratio,
                    iou_crop=iou_crop,
                    iou_crop_min_scale=iou_crop_min_scale,
                    resize=resize,
                ),
                A.HorizontalFlip(p=horizontal_flip),
            ]
        )
        self._photometric = PhotometricDistortion(photometric)

    def __call__(
        self, image: np.ndarray, boxes: np.ndarray, labels: np.ndarray, seed: int
    ) -> Transformed:
        """See `DetectionTransform`."""
        image, boxes, labels = _run(self._pipeline, image, boxes, labels, seed)
        return self._photometric(image, seed), boxes, labels


class ZoomAndCrop(A.DualTransform):
    """Zoom-out and IoU-constrained crop, resized: in one step, without the large canvas.

    Zoom-out puts the picture at a random place on a canvas of one colour. The crop overlaps some
    box by a least IoU, one of `MIN_IOUS`. Boxes whose centre is in the crop stay and are clipped,
    others go; one at least stays. If no trial of an option fits, another option is drawn, among
    them again "no crop" with its probability 1 - iou_crop. A picture without boxes is cropped
    freely. The picture fills whole pixels of the result, and boxes follow it exactly: beside a
    canvas its scale differs from the drawn one by up to a pixel of the result.

    Args:
        size: Of the result.
        fill: RGB colour of the canvas, 0-255; a mask's is 0.
        expand: Probability of the zoom-out.
        expand_max_ratio: The ratio of canvas side to picture side is uniform in [1, this].
        iou_crop: Probability of a crop.
        iou_crop_min_scale: Sides of the crop are uniform in [this, 1] of the canvas's.
        resize: How the picture is brought to `size`; masks take the nearest pixel.
    """

    _targets = (Targets.IMAGE, Targets.MASK, Targets.BBOXES)

    def __init__(
        self,
        size: ImageSize,
        *,
        fill: tuple[float, float, float],
        expand: float,
        expand_max_ratio: float,
        iou_crop: float,
        iou_crop_min_scale: float,
        resize: Resize = "bilinear",
    ) -> None:
        super().__init__(p=1.0)
        self.size = size
        self.canvas = np.full((*size, 3), [round(value) for value in fill], np.uint8)
        self.expand = expand
        self.expand_max_ratio = expand_max_ratio
        self.iou_crop = iou_crop
        self.iou_crop_min_scale = iou_crop_min_scale
        self.resize = _resize_by(resize, rounded=True)

    @override
    def get_params_dependent_on_data(
        self, params: dict[str, Any], data: dict[str, Any]
    ) -> dict[str, Any]:
        """What is seen, `window`, and how along both axes, `rows` and `columns`."""
        size = ImageSize(*params["shape"][:2])
        window = Window(0, 0, size.width, size.height)
        if self.py_random.random() < self.expand:
            window = draw_canvas(size, self.expand_max_ratio, self.py_random)
        if self.py_random.random() < self.iou_crop:
            boxes = data["bboxes"][:, :4] * _scale(size)
            window = self._draw_crop(window, boxes)
        return {
            "window": window,
            "rows": look(window.top, window.bottom, size.height, self.size.height),
            "columns": look(window.left, window.right, size.width, self.size.width),
        }

    def _draw_crop(self, canvas: Window, boxes: np.ndarray) -> Window:
        """The part of the canvas that is kept; all of it if nothing fits the boxes."""
        for index, min_iou in enumerate(self.random_generator.permutation(MIN_IOUS)):
            if index and self.py_random.random() >= self.iou_crop:
                break
            crop = draw_crop(canvas, boxes, min_iou, self.iou_crop_min_scale, self.random_generator)
            if crop is not None:
                return crop
        return canvas

    @override
    def apply(  # pyrefly: ignore[bad-override]  albumentations passes the params by name
        self, img: np.ndarray, rows: Span, columns: Span, **params: Any
    ) -> np.ndarray:
        """What is seen of the picture and its canvas."""
        return place(self.canvas, img, rows, columns, self.resize)

    @override
    def apply_to_mask(  # pyrefly: ignore[bad-override]
        self, mask: np.ndarray, rows: Span, columns: Span, **params: Any
    ) -> np.ndarray:
        """The same of a mask."""
        canvas = np.zeros((*self.size, *mask.shape[2:]), mask.dtype)
        return place(canvas, mask, rows, columns, _resize_nearest)

    @override
    def apply_to_bboxes(  # pyrefly: ignore[bad-override]
        self, bboxes: np.ndarray, window: Window, rows: Span, columns: Span, **params: Any
    ) -> np.ndarray:
        """Boxes whose centre is in the window, where the picture was put; not yet clipped."""
        kept = bboxes.copy()
        kept[:, :4] *= _scale(ImageSize(*params["shape"][:2]))
        kept = kept[centres_inside(np.array([window]), kept[:, :4])[0]]
        kept[:, 0:4:2] = columns.project(kept[:, 0:4:2]) / self.size.width
        kept[:, 1:4:2] = rows.project(kept[:, 1:4:2]) / self.size.height
        return kept


class PlainResize(A.Resize):
    """A resize of the whole picture by one of the rules; masks take the nearest pixel.

    Args:
        size: Of the result.
        rule: Of pictures.
        rounded: Whether pictures resized by `legacy_bilinear` are uint8 again; float32 0-255
            otherwise.
    """

    def __init__(self, size: ImageSize, rule: Resize, *, rounded: bool) -> None:
        super().__init__(size.height, size.width)
        self.resize = _resize_by(rule, rounded=rounded)

    @override
    def apply(self, img: np.ndarray, **params: Any) -> np.ndarray:
        """The resized picture."""
        return self.resize(img, ImageSize(self.height, self.width))


def _scale(size: ImageSize) -> np.ndarray:
    return np.array([size.width, size.height, size.width, size.height], dtype=np.float64)


def _resize_by(rule: Resize, *, rounded: bool) -> Callable[[np.ndarray, ImageSize], np.ndarray]:
    if rule == "bilinear":
        return _resize_bilinear
    return _resize_legacy_rounded if rounded else resize_legacy


def _resize_bilinear(picture: np.ndarray, size: ImageSize) -> np.ndarray:
    return cv2.resize(picture, (size.width, size.height), interpolation=cv2.INTER_LINEAR)


def _resize_legacy_rounded(picture: np.ndarray, size: ImageSize) -> np.ndarray:
    return np.rint(resize_legacy(picture, size)).astype(np.uint8)


def _resize_nearest(mask: np.ndarray, size: ImageSize) -> np.ndarray:
    return cv2.resize(mask, (size.width, size.height), interpolation=cv2.INTER_NEAREST_EXACT)


class _Boxes(BboxProcessor):
    """Clips boxes and drops thin ones once, at the size the network sees.

    The index has checked them when it was built; albumentations' own checks would take as long as
    all else that is done with boxes.
    """

    @override
    def check_and_convert(
        self, data: np.ndarray, shape: Any, direction: Literal["to", "from"] = "to"
    ) -> np.ndarray:
        return data

    @override
    def filter(self, data: np.ndarray, shape: Any) -> np.ndarray:
        if not len(data):
            return np.empty((0, 5))
        data[:, :4] = data[:, :4].clip(0, 1)
        sides = (data[:, 2:4] - data[:, :2]) * (shape["width"], shape["height"])
        return data[(sides >= MIN_BOX_SIDE - _ROUNDING).all(axis=1)]


def _compose(steps: list[A.BasicTransform | A.BaseCompose]) -> A.Compose:
    parameters = A.BboxParams(format="albumentations", check_each_transform=False)
    pipeline = A.Compose(steps, bbox_params=parameters)
    pipeline.processors["bboxes"] = _Boxes(parameters)
    return pipeline


def _run(
    pipeline: A.Compose, image: np.ndarray, boxes: np.ndarray, labels: np.ndarray, seed: int
) -> Transformed:
    # One generator for all steps: `set_random_seed` would give each step the same numbers, and
    # zoom-out and flip would always come together.
    pipeline.set_random_state(np.random.default_rng(seed), random.Random(seed))
    rows = np.empty((len(boxes), 5), dtype=np.float64)
    rows[:, :4] = boxes / _scale(ImageSize(*image.shape[:2]))
    rows[:, 4] = np.arange(len(boxes))
    result = pipeline(image=image, bboxes=rows)
    rows = result["bboxes"]
    new_size = ImageSize(*result["image"].shape[:2])
    new_boxes = (rows[:, :4] * _scale(new_size)).astype(np.float32)
    return result["image"], new_boxes, labels[rows[:, 4].astype(np.int64)]
