"""The detector's data set as flat arrays that loader processes share."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from torch import Tensor

from mnv2_dense.errors import UserError
from mnv2_dense.images import read_image
from mnv2_dense.ops.texts import SharedTexts, list_first
from mnv2_dense.structures import BoxTargets, Category, ImageSize

MIN_BOX_SIDE = 1.0
"""Boxes thinner than this many pixels of the stored image are dropped."""


class BoxReport(NamedTuple):
    """What the box rule of `build_index` changed in a file or folder, in its order.

    `places` says what the offenders' names are: annotation ids, or places in files.
    """

    source: str
    clipped: int
    dropped: int
    first_clipped: tuple[str, ...]
    first_dropped: tuple[str, ...]
    places: str = "annotation ids"

    def message(self) -> str | None:
        """One line for the log; None if every box was kept as it was."""
        parts = []
        if self.clipped:
            ids = list_first(self.first_clipped, self.clipped)
            parts.append(f"clipped {self.clipped} to the image ({self.places} {ids})")
        if self.dropped:
            ids = list_first(self.first_dropped, self.dropped)
            parts.append(
                f"dropped {self.dropped} under {MIN_BOX_SIDE:g} pixel on a side or not finite "
                f"({self.places} {ids})"
            )
        return f"{self.source}: boxes {' and '.join(parts)}" if parts else None


class DetectionIndex:
    """A data set's images and boxes in flat tensors in shared memory.

    Forked and spawned loader processes all read the same memory: it does not grow with their
    number or with epochs, as lists of Python objects would. Images are ordered by id; an image's
    boxes keep the order of the file.

    Attributes:
        image_folder: Where the pictures are.
        categories: Ordered by category_id; a label is a position in it.
        box_report: What the box rule changed.
        image_ids: int64 [N].
        sizes: int64 [N, 2], height and width in pixels.
        boxes: float32 [M, 4], xyxy in pixels of the stored image; M counts no crowds.
        labels: int64 [M].
        box_offsets: int64 [N + 1]; image i has the boxes from entry i up to entry i + 1.
        file_names: One per image, below `image_folder`.
        upright: Whether boxes refer to pictures as EXIF turns them, not as they are stored.
        notes: What else the reader changed or left out, a line each.
    """

    def __init__(
        self,
        image_folder: Path,
        categories: tuple[Category, ...],
        box_report: BoxReport,
        image_ids: Tensor,
        sizes: Tensor,
        boxes: Tensor,
        labels: Tensor,
        box_offsets: Tensor,
        file_names: SharedTexts,
        *,
        upright: bool = False,
        notes: Sequence[str] = (),
    ) -> None:
        self.image_folder = image_folder
        self.categories = categories
        self.box_report = box_report
        self.image_ids = image_ids.share_memory_()
        self.sizes = sizes.share_memory_()
        self.boxes = boxes.share_memory_()
        self.labels = labels.share_memory_()
        self.box_offsets = box_offsets.share_memory_()
        self.file_names = file_names
        self.upright = upright
        self.notes = tuple(notes)

    def __len__(self) -> int:
        return len(self.image_ids)

    def image_id(self, index: int) -> int:
        """COCO's id of an image."""
        return int(self.image_ids[index])

    def size(self, index: int) -> ImageSize:
        """Size of an image as the annotation file gives it."""
        height, width = self.sizes[index].tolist()
        return ImageSize(height, width)

    def path(self, index: int) -> Path:
        """File of an image."""
        return self.image_folder / self.file_names[index]

    def image(self, index: int) -> np.ndarray:
        """An image as its boxes refer to it, uint8 RGB [H, W, 3].

        COCO's and VOC's boxes refer to the pixels as they are stored: an EXIF rotation is ignored,
        unless the set is `upright`.

        Raises:
            UserError: It cannot be read, or its size is not the one that its boxes were drawn for.
        """
        path, size = self.path(index), self.size(index)
        image = read_image(path, upright=self.upright)
        if image.shape[:2] != size:
            raise UserError(f"{path}: {_size_problem(ImageSize(*image.shape[:2]), size)}")
        return image

    def targets(self, index: int) -> BoxTargets:
        """Boxes of an image, crowds left out, in pixels of the stored image (a copy)."""
        start, stop = self.box_offsets[index : index + 2].tolist()
        return BoxTargets(self.boxes[start:stop].clone(), self.labels[start:stop].clone())


def _size_problem(found: ImageSize, annotated: ImageSize) -> str:
    turned = " (swapped: was it annotated as its EXIF orientation turns it? See data.orientation)"
    return (
        f"the picture is {found.width} x {found.height} pixels, but its annotations say "
        f"{annotated.width} x {annotated.height}{turned if found == annotated[::-1] else ''}; its "
        "boxes would be misplaced"
    )
