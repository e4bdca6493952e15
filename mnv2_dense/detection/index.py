"""The detector's data set as flat arrays that loader processes share."""

from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from mnv2_dense.ops.texts import SharedTexts, list_first
from mnv2_dense.structures import BoxTargets, Category, ImageSize

MIN_BOX_SIDE = 1.0
"""Boxes thinner than this many pixels of the stored image are dropped."""


class BoxReport(NamedTuple):
    """What the box rule of `read_coco` changed: annotation ids, ascending in the file's order."""

    annotation_file: str
    clipped: int
    dropped: int
    first_clipped: tuple[int, ...]
    first_dropped: tuple[int, ...]

    def message(self) -> str | None:
        """One line for the log; None if every box was kept as it was."""
        parts = []
        if self.clipped:
            ids = list_first(self.first_clipped, self.clipped)
            parts.append(f"clipped {self.clipped} to the image (annotation ids {ids})")
        if self.dropped:
            ids = list_first(self.first_dropped, self.dropped)
            parts.append(
                f"dropped {self.dropped} under {MIN_BOX_SIDE:g} pixel on a side or not finite "
                f"(annotation ids {ids})"
            )
        return f"{self.annotation_file}: boxes {' and '.join(parts)}" if parts else None


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

    def targets(self, index: int) -> BoxTargets:
        """Boxes of an image, crowds left out, in pixels of the stored image (a copy)."""
        start, stop = self.box_offsets[index : index + 2].tolist()
        return BoxTargets(self.boxes[start:stop].clone(), self.labels[start:stop].clone())
