"""What the page is told: of the network, and of a picture."""

import base64
import io
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mnv2_dense.detection.draw import label_color
from mnv2_dense.drawing import class_palette
from mnv2_dense.errors import UserError
from mnv2_dense.images import FORMATS, read_image
from mnv2_dense.prediction.predictor import Predictor
from mnv2_dense.prediction.results import DetectionResult, Result, SegmentationResult
from mnv2_dense.quoting import quote
from mnv2_dense.segmentation.draw import BACKGROUND, LabelMap
from mnv2_dense.structures import ImageSize

LOWEST_SCORE = 0.05
"""Boxes from here on are sent; the page's slider decides which are shown."""
SHOWN_SIDE = 1600
"""Longest side in pixels of what is sent back to be looked at; the network sees all of it."""
_QUALITY = 90


@dataclass(frozen=True)
class Viewer:
    """A network to look at pictures with.

    Attributes:
        predictor: Runs it.
        weights: Name of its file, without its folder.
    """

    predictor: Predictor
    weights: str

    def describe(self) -> dict[str, Any]:
        """Task, classes with their colours, engine: what the page shows before a picture.

        Raises:
            UserError: A segmenter has more classes than a label map holds.
        """
        manifest = self.predictor.manifest
        detects = manifest.task == "detection"
        palette = class_palette()
        if not detects and len(manifest.names) > len(palette):
            raise UserError(
                f"{quote(self.weights)}: names {len(manifest.names)} classes, but label maps hold "
                f"{len(palette)} at most; its file is damaged, export it again"
            )
        return {
            "task": manifest.task,
            "weights": quote(self.weights),
            "engine": self.predictor.engine.name,
            "precision": manifest.precision,
            "input_size": list(manifest.input_size),
            "lowest_score": LOWEST_SCORE,
            "formats": list(FORMATS),
            "classes": [
                {
                    "name": quote(name),
                    "color": list(label_color(label) if detects else palette[label]),
                    "background": not detects and name == BACKGROUND,
                }
                for label, name in enumerate(manifest.names)
            ],
        }

    def look(self, path: Path) -> dict[str, Any]:
        """What the network sees in the picture in a file, and the picture as it was seen.

        Raises:
            UserError: It cannot be read; the message does not say where the file lies.
        """
        start = time.perf_counter()
        try:
            picture = read_image(path, upright=True)
            read = time.perf_counter()
            result = self.predictor.predict(picture, score_threshold=LOWEST_SCORE)
        except UserError as error:
            message = str(error).removeprefix(f"{path}: ")
            raise UserError(message.replace(str(path), "the picture")) from error
        total = time.perf_counter() - start
        _, prepare, run, finish = result.times
        steps = {"read": read - start, "prepare": prepare, "run": run, "finish": finish}
        return {
            "size": list(result.size),
            "engine": result.engine,
            "times": {**steps, "total": total},
            "picture": _encode(_shrink(Image.fromarray(picture)), "JPEG", quality=_QUALITY),
            **_content(result),
        }


def _content(result: Result) -> dict[str, Any]:
    if isinstance(result, DetectionResult):
        scale = np.tile(result.size[::-1], 2)
        boxes = (result.boxes / scale).tolist()
        rows = zip(boxes, result.scores.tolist(), result.labels.tolist(), strict=True)
        return {
            "boxes": [{"box": box, "score": score, "label": label} for box, score, label in rows]
        }
    assert isinstance(result, SegmentationResult)
    # Pillow counts in place; numpy's bincount would first make eight bytes of every pixel.
    counts = Image.fromarray(result.label_map).histogram()
    return {
        "label_map": _encode(_shrink_labels(result.label_map), "PNG"),
        "shares": [count / result.label_map.size for count in counts[: len(result.names)]],
    }


def _shown_size(size: ImageSize) -> tuple[int, int]:
    """Width and height of what is sent for a picture."""
    factor = min(1.0, SHOWN_SIDE / max(size))
    return max(1, round(size.width * factor)), max(1, round(size.height * factor))


def _shrink(picture: Image.Image) -> Image.Image:
    size = _shown_size(ImageSize(picture.height, picture.width))
    return picture.resize(size, Image.Resampling.BOX)


def _shrink_labels(label_map: LabelMap) -> Image.Image:
    size = _shown_size(ImageSize(*label_map.shape))
    return Image.fromarray(label_map).resize(size, Image.Resampling.NEAREST)


def _encode(image: Image.Image, form: str, **options: int) -> str:
    """A picture's file in base64."""
    file = io.BytesIO()
    image.save(file, form, **options)
    return base64.b64encode(file.getvalue()).decode("ascii")
