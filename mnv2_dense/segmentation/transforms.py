"""What is done to a picture and its label map before the network: scale, crop, flip, or nothing.

Built on albumentations, which gives picture and label map the same random choices.
Source: DeepLab's release (tensorflow/models), core/preprocess_utils.py and input_preprocess.py.
"""

import math
import os
import random
from typing import Any, Protocol

import cv2
import numpy as np
from typing_extensions import override

from mnv2_dense.photometric import PhotometricDistortion
from mnv2_dense.placing import Span, place
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
        self._pipeline.set_random_state(np.random.default_rng(seed), random.Random(seed))
        result = self._pipeline(image=image, mask=label_map)
        return self._photometric(result["image"], seed), result["mask"]


class ScaleAndCrop(A.DualTransform):
    """Scales a picture by a random factor and cuts or pads it to one size, at a random place.

    One step, so that its cost depends on the crop alone and not on the scaled picture. The crop
    shows whole pixels of the picture, both of the picture (bilinear) and of its label map
    (nearest), so they stay aligned; where it cuts a side, its factor differs from the drawn one by
    up to a pixel over what it shows. Factor 1 copies.

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
        self.canvas = np.full((*size, 3), [round(value) for value in mean], np.uint8)
        self.void = np.full(size, IGNORE_INDEX, np.uint8)
        self.min_scale = min_scale
        self.max_scale = max_scale
        self.step = step

    @override
    def get_params_dependent_on_data(
        self, params: dict[str, Any], data: dict[str, Any]
    ) -> dict[str, Any]:
        """What the crop shows along both axes, `rows` and `columns`."""
        height, width = params["shape"][:2]
        scale = self._draw_scale()
        return {
            "rows": self._draw_span(height, self.size.height, scale),
            "columns": self._draw_span(width, self.size.width, scale),
        }

    def _draw_scale(self) -> float:
        if not self.step:
            return self.py_random.uniform(self.min_scale, self.max_scale)
        # The small addend keeps the last factor where 0.1 or 0.3 are not exact.
        steps = math.floor((self.max_scale - self.min_scale) / self.step + 1e-6)
        return self.min_scale + self.step * self.py_random.randint(0, steps)

    def _draw_span(self, side: int, length: int, scale: float) -> Span:
        scaled = max(1, round(side * scale))
        free = length - scaled
        shift = self.py_random.randint(min(0, free), max(0, free))
        start, stop = max(0, shift), min(length, shift + scaled)
        first = min(round((start - shift) * side / scaled), side - 1)
        last = max(first + 1, round((stop - shift) * side / scaled))
        return Span(first, last, start, stop)

    @override
    def apply(  # pyrefly: ignore[bad-override]  albumentations passes the params by name
        self, img: np.ndarray, rows: Span, columns: Span, **params: Any
    ) -> np.ndarray:
        """The crop of the picture."""
        return place(self.canvas, img, rows, columns, _resize_picture)

    @override
    def apply_to_mask(  # pyrefly: ignore[bad-override]
        self, mask: np.ndarray, rows: Span, columns: Span, **params: Any
    ) -> np.ndarray:
        """The crop of the label map."""
        return place(self.void, mask, rows, columns, _resize_label_map)


def _resize_picture(part: np.ndarray, size: ImageSize) -> np.ndarray:
    return cv2.resize(part, (size.width, size.height), interpolation=cv2.INTER_LINEAR)


def _resize_label_map(part: np.ndarray, size: ImageSize) -> np.ndarray:
    # Without EXACT places are counted from pixel corners: half a pixel beside the picture.
    return cv2.resize(part, (size.width, size.height), interpolation=cv2.INTER_NEAREST_EXACT)
