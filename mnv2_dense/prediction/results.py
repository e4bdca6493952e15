"""What is seen in a picture: boxes or a label map, the same whichever engine ran the network."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from typing_extensions import override

from mnv2_dense.detection.draw import draw_detections
from mnv2_dense.drawing import Picture, encode_label_map
from mnv2_dense.errors import UserError
from mnv2_dense.images import read_image
from mnv2_dense.segmentation.draw import LabelMap, class_shares, draw_label_map, tint
from mnv2_dense.structures import Category, ImageSize
from mnv2_dense.training.durable import replace_durably


class Times(NamedTuple):
    """Seconds that a picture took, of a batch its share.

    read: The file, decoded. prepare: Brought to the input's size. run: The network, and what is
    decoded inside it. finish: From there to the result.
    """

    read: float = 0.0
    prepare: float = 0.0
    run: float = 0.0
    finish: float = 0.0


@dataclass(frozen=True, eq=False, kw_only=True)
class Result(ABC):
    """What a network sees in one picture.

    Attributes:
        source: The picture: its path, or what a picture in memory is called.
        size: Of the picture, upright.
        categories: The network's classes in label order.
        engine: What ran the network.
        times: What took how long.
        picture: RGB [H, W, 3] of a picture that came from memory; one from a file is read again
            when it is drawn on, so that many results need little memory.
    """

    source: str
    size: ImageSize
    categories: tuple[Category, ...] = field(repr=False)
    engine: str
    times: Times
    picture: Picture | None = field(default=None, repr=False)

    @property
    def names(self) -> list[str]:
        """The classes' names in label order."""
        return [category.name for category in self.categories]

    @abstractmethod
    def draw(self, *, legend: bool = True) -> Picture:
        """The picture with the result drawn on it.

        Args:
            legend: Of a label map: list the classes beside the picture, which makes it larger.

        Raises:
            UserError: The picture's file cannot be read any more.
        """

    @abstractmethod
    def to_coco(self, image_id: int) -> list[dict[str, Any]]:
        """The result in COCO's results format, under the image's id there."""

    def save(self, path: str | Path) -> None:
        """Writes the drawn picture; a file that is there is replaced when it is complete.

        Args:
            path: Its suffix says the format, as `.png` or `.jpg`.

        Raises:
            UserError: The suffix is of no format, or the picture's file cannot be read any more.
        """
        save_image(Image.fromarray(self.draw()), Path(path))

    def _see_picture(self) -> Picture:
        if self.picture is not None:
            return self.picture
        picture = read_image(Path(self.source), upright=True)
        if picture.shape[:2] != self.size:
            raise UserError(f"{self.source}: has changed since it was predicted")
        return picture


@dataclass(frozen=True, eq=False, kw_only=True)
class DetectionResult(Result):
    """Boxes, best first.

    Attributes:
        boxes: [N, 4] float32 xyxy in pixels of the upright picture.
        scores: [N] float32 in [0, 1].
        labels: [N] int64, positions in `categories`.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    labels: NDArray[np.int64]

    @override
    def draw(self, *, legend: bool = True) -> Picture:
        return draw_detections(self._see_picture(), self, self.names)

    @override
    def to_coco(self, image_id: int) -> list[dict[str, Any]]:
        """A record per box: `{"image_id", "category_id", "bbox": [x, y, w, h], "score"}`."""
        corners = self.boxes.astype(np.float64)  # Not rounded: see detection/scoring.py.
        boxes = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)
        return [
            {
                "image_id": image_id,
                "category_id": self.categories[label].category_id,
                "bbox": box,
                "score": score,
            }
            for box, score, label in zip(
                boxes.tolist(), self.scores.tolist(), self.labels.tolist(), strict=True
            )
        ]


@dataclass(frozen=True, eq=False, kw_only=True)
class SegmentationResult(Result):
    """A class per pixel.

    Attributes:
        label_map: [H, W] uint8, positions in `categories`, of the upright picture's size.
    """

    label_map: LabelMap = field(repr=False)

    @property
    def shares(self) -> dict[str, float]:
        """Share of the picture of every class in it, largest first."""
        return class_shares(self.label_map, self.names)

    @override
    def draw(self, *, legend: bool = True) -> Picture:
        draw = draw_label_map if legend else tint
        return draw(self._see_picture(), self.label_map, self.names)

    @override
    def to_coco(self, image_id: int) -> list[dict[str, Any]]:
        """A record per class in the picture, its `segmentation` as compressed RLE."""
        from pycocotools.mask import encode

        records = []
        for label in np.unique(self.label_map).tolist():
            pixels = (self.label_map == label).astype(np.uint8)
            mask: Mapping[str, Any] = encode(np.asfortranarray(pixels))
            counts = {"size": list(mask["size"]), "counts": mask["counts"].decode("ascii")}
            number = self.categories[label].category_id
            records.append({"image_id": image_id, "category_id": number, "segmentation": counts})
        return records

    def save_label_map(self, path: str | Path) -> None:
        """Writes the labels themselves as a palette picture, as VOC's masks are.

        Raises:
            UserError: The path does not end with `.png`: other formats would change labels.
        """
        if Path(path).suffix.lower() != ".png":
            raise UserError(f"{path}: a label map is written as .png, which keeps its values")
        save_image(encode_label_map(self.label_map), Path(path))


def save_image(image: Image.Image, path: Path) -> None:
    """Writes a picture that takes its place when it is complete.

    Raises:
        UserError: The suffix is of no format that can be written, or there is no such folder.
    """
    known = Image.registered_extensions()
    form = known.get(path.suffix.lower())
    if form not in Image.SAVE:
        what = f"{path.suffix} is of no picture format" if path.suffix else "has no suffix"
        raise UserError(f"{path}: {what}; the suffix says the format, as .png or .jpg")
    if not path.parent.is_dir():
        raise UserError(f"{path}: there is no folder {path.parent}; make it first")
    replace_durably(path, lambda file: image.save(file, form))
