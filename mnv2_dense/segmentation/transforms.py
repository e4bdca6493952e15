"""What is done to a picture and its label map before the network: scale, crop, flip, or nothing.

Built on albumentations, which gives picture and label map the same random choices.
Source: DeepLab's release (tensorflow/models), core/preprocess_utils.py and input_preprocess.py.
"""

import math
import os
import random
from typing import Any, NamedTuple, Protocol

import cv2
import numpy as np
from typing_extensions import override

from mnv2_dense.photometric import PhotometricDistortion
from mnv2_dense.structures import IGNORE_INDEX, ImageSize

# Without this the import below asks the network for a newer release.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

import albumentations as A
from albumentations.core.type_definitions import Targets

Transformed = tuple[np.ndarray, np.ndarray]


class SegmentationTransform(Protocol):
    """A picture and its label map, made ready for the network."""

    def __call__(self, image: np.ndarray, label_map: np.ndarray, seed: int) -> Transformed:
        """The image and the label map, which stay as large as each other.

        Args:
            image: uint8 RGB [H, W, 3].
            label_map: uint8 [H, W], `IGNORE_INDEX` for void.
            seed: Decides every random choice of this call.

        Returns:
            uint8 [height, width, 3] and uint8 [height, width].
        """
        ...


class EvalTransform:
    """Leaves both as they are: inference pads pictures, and masks are measured at their size."""

    def __call__(self, image: np.ndarray, label_map: np.ndarray, seed: int = 0) -> Transformed:
        """See `SegmentationTransform`; nothing here is random."""
        return image, label_map


class TrainTransform:
    """DeepLab's augmentation: random scale, crop and flip; then photometric distortion.

    Differs from the release: smaller pictures stand anywhere in the crop instead of at its top
    left, and colours may be distorted (the canvas around a small picture with them).

    Args:
        size: The crop, which is the network's input.
        mean: RGB colour of the canvas around smaller pictures, 0-255. It is void.
        min_scale: Smallest factor on the picture's sides.
        max_scale: Largest factor.
        scale_step: The factors min_scale, min_scale + scale_step ... are equally likely; 0 draws
            any number between the two.
        horizontal_flip: Probability of the flip.
        photometric: Probability of each of the four colour distortions.
    """

    def __init__(
        self,
        size: ImageSize,
        mean: tuple[float, float, float],
        min_scale: float,
        max_scale: float,
        scale_step: float,
        horizontal_flip: float,
        photometric: float,
    ) -> None:
        scale_and_crop = ScaleAndCrop(size, mean, min_scale, max_scale, scale_step)
        self._pipeline = A.Compose([scale_and_crop, A.HorizontalFlip(p=horizontal_flip)])
        self._photometric = PhotometricDistortion(photometric)

    def __call__(self, image: np.ndarray, label_map: np.ndarray, seed: int) -> Transformed:
        """See `SegmentationTransform`."""
        # One generator for all steps: `set_random_seed` would give each step the same numbers,
        # and large scales and flips would always come together.
        generator = random.Random(seed)
        self._pipeline.set_random_state(np.random.default_rng(seed), generator)
        result = self._pipeline(image=image, mask=label_map)
        return self._photometric(result["image"], generator), result["mask"]


class Axis(NamedTuple):
    """Where a scaled picture meets the crop, along one axis.

    Attributes:
        start: First pixel of the crop that shows the picture.
        stop: The pixel after the last.
        origin: Place in the unscaled picture that pixel `start` shows; pixel centres are whole.
        step: Pixels of the unscaled picture per pixel of the crop.
    """

    start: int
    stop: int
    origin: float
    step: float

    def source(self, side: int) -> slice:
        """The part of a picture's side that the crop needs, with a margin to interpolate."""
        last = self.origin + (self.stop - self.start - 1) * self.step
        return slice(max(0, math.floor(self.origin) - 1), min(side, math.ceil(last) + 2))


class ScaleAndCrop(A.DualTransform):
    """Scales a picture by a random factor and cuts or pads it to one size, at a random place.

    One step, so that its cost depends on the crop alone and not on the scaled picture. Pixel
    centres are half-way as in OpenCV's resize: picture (bilinear) and label map (nearest) stay
    aligned, and factor 1 copies.

    Args:
        size: The crop.
        mean: Colour of the canvas where the picture does not reach; the label map's is void.
        min_scale: Smallest factor.
        max_scale: Largest factor.
        step: Distance of the factors; 0 for any between the two.
    """

    _targets = (Targets.IMAGE, Targets.MASK)

    def __init__(
        self,
        size: ImageSize,
        mean: tuple[float, ...],
        min_scale: float,
        max_scale: float,
        step: float,
    ) -> None:
        super().__init__(p=1.0)
        self.size = size
        self.fill = tuple(round(value) for value in mean)
        self.min_scale = min_scale
        self.max_scale = max_scale
        self.step = step

    @override
    def get_params_dependent_on_data(
        self, params: dict[str, Any], data: dict[str, Any]
    ) -> dict[str, Any]:
        """The two axes, `rows` and `columns`."""
        height, width = params["shape"][:2]
        scale = self._draw_scale()
        return {
            "rows": self._draw_axis(height, self.size.height, scale),
            "columns": self._draw_axis(width, self.size.width, scale),
        }

    def _draw_scale(self) -> float:
        if not self.step:
            return self.py_random.uniform(self.min_scale, self.max_scale)
        # The small addend keeps the last factor where 0.1 or 0.3 are not exact.
        steps = math.floor((self.max_scale - self.min_scale) / self.step + 1e-6)
        return self.min_scale + self.step * self.py_random.randint(0, steps)

    def _draw_axis(self, side: int, length: int, scale: float) -> Axis:
        scaled = max(1, round(side * scale))
        free = length - scaled
        shift = self.py_random.randint(min(0, free), max(0, free))
        start, step = max(0, shift), side / scaled
        origin = (start - shift + 0.5) * step - 0.5
        return Axis(start, min(length, shift + scaled), origin, step)

    @override
    def apply(  # pyrefly: ignore[bad-override]  albumentations passes the params by name
        self, img: np.ndarray, rows: Axis, columns: Axis, **params: Any
    ) -> np.ndarray:
        """The crop of the picture."""
        canvas = np.empty((*self.size, 3), dtype=np.uint8)
        canvas[:] = self.fill
        return _paste(canvas, img, rows, columns, cv2.INTER_LINEAR)

    @override
    def apply_to_mask(  # pyrefly: ignore[bad-override]
        self, mask: np.ndarray, rows: Axis, columns: Axis, **params: Any
    ) -> np.ndarray:
        """The crop of the label map."""
        canvas = np.full(self.size, IGNORE_INDEX, dtype=np.uint8)
        return _paste(canvas, mask, rows, columns, cv2.INTER_NEAREST)


def _paste(
    canvas: np.ndarray, picture: np.ndarray, rows: Axis, columns: Axis, interpolation: int
) -> np.ndarray:
    """Draws the scaled picture into its place on the canvas."""
    # Only the part that is needed: OpenCV 4 takes no side of more than 32766 pixels.
    down, across = rows.source(picture.shape[0]), columns.source(picture.shape[1])
    to_source = np.array(
        [
            [columns.step, 0, columns.origin - across.start],
            [0, rows.step, rows.origin - down.start],
        ]
    )
    canvas[rows.start : rows.stop, columns.start : columns.stop] = cv2.warpAffine(
        picture[down, across],
        to_source,
        (columns.stop - columns.start, rows.stop - rows.start),
        flags=interpolation | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return canvas
