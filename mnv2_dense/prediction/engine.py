"""What an engine gives and is asked for, whichever library runs the network."""

from abc import ABC, abstractmethod
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mnv2_dense.errors import UserError
from mnv2_dense.prediction.manifest import Manifest

IMAGES, SCORE_THRESHOLD = "images", "score_threshold"
"""Names of a file's inputs; the second is a detector's."""
OUTPUTS = {
    "detection": ("boxes", "scores", "labels"),
    "segmentation": ("label_map", "class_logits"),
}
"""Names of its outputs, in the order of `DetectorArrays` and of `SegmenterArrays`."""


class DetectorArrays(NamedTuple):
    """Detections of a batch, best first, filled up with score 0.

    boxes [B, N, 4] float32 xyxy in shares of the picture, inside it. scores [B, N] float32.
    labels [B, N] int64 from 0.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    labels: NDArray[np.int64]


class SegmenterArrays(NamedTuple):
    """Label maps of a batch at the input's size, and what they were made from.

    label_maps [B, H, W] uint8. class_logits [B, C, h, w] float32, in cells of the head's map.
    """

    label_maps: NDArray[np.uint8]
    class_logits: NDArray[np.float32]


class Engine(ABC):
    """A network opened by a library that runs it.

    Attributes:
        name: Of the library, with its version: `ONNX Runtime 1.32.0`.
        manifest: What the network says of itself.
    """

    name: str
    manifest: Manifest

    @abstractmethod
    def run(
        self, images: NDArray[np.uint8], score_threshold: float = 0.0
    ) -> DetectorArrays | SegmenterArrays:
        """What the network sees in images, RGB [B, H, W, 3] of a size and number that it takes.

        Args:
            images: The batch.
            score_threshold: Of a detector: boxes of lower scores may be left out (and are not
                worth any work); those below the threshold that it was exported with always are.
        """


def check_count(name: str, value: object) -> int:
    """A number of threads or pictures as it was given.

    Raises:
        UserError: It is no whole number, or below 1.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise UserError(f"{name} is a whole number, at least 1, not {value!r}")
    return int(value)


def check_detections(found: DetectorArrays, pictures: int, classes: int) -> None:
    """Refuses what no file of ours gives: it is damaged, or says of itself what it is not.

    Args:
        found: Of an engine.
        pictures: That it was shown; it may give more.
        classes: That it says it knows.

    Raises:
        UserError: Shapes, kinds or values are others.
    """
    boxes, scores, labels = found
    rows = scores.shape[:2]
    right = (
        scores.ndim == 2
        and boxes.shape == (*rows, 4)
        and labels.shape == rows
        and rows[0] >= pictures
        and labels.dtype.kind == "i"
        and np.isfinite(boxes).all()
        and bool((scores >= 0).all() and (scores <= 1.001).all())
        and bool(((labels >= 0) & (labels < classes))[scores > 0].all())
    )
    if not right:
        raise UserError("the network gives no boxes as it should; its file is damaged")


def check_labels(found: SegmenterArrays, images: NDArray[np.uint8], classes: int) -> None:
    """The same of label maps.

    Raises:
        UserError: Shapes, kinds or values are others.
    """
    label_maps, logits = found
    right = (
        label_maps.dtype == np.uint8
        and label_maps.shape[1:] == images.shape[1:3]
        and logits.ndim == 4
        and logits.shape[1] == classes
        and min(len(label_maps), len(logits)) >= len(images)
        and int(label_maps.max(initial=0)) < classes
    )
    if not right:
        raise UserError("the network gives no label map as it should; its file is damaged")
