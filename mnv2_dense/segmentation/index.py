"""The segmenter's data set as flat arrays that loader processes share."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mnv2_dense.images import read_image
from mnv2_dense.ops.texts import SharedTexts
from mnv2_dense.segmentation.masks import MaskRule, read_mask
from mnv2_dense.structures import Category


class SegmentationIndex:
    """A data set's pictures and masks, as paths in shared memory.

    Forked and spawned loader processes all read the same memory: it does not grow with their
    number or with epochs, as lists of Python objects would.

    Args:
        categories: Ordered by category_id, which is the value in the label maps.
        image_ids: One name per picture, each once.
        image_paths: The pictures, in the order of `image_ids`.
        mask_paths: Their masks.
        rule: How the masks are read.
        upright: Whether masks refer to pictures as EXIF turns them, not as they are stored.
    """

    def __init__(
        self,
        categories: Sequence[Category],
        image_ids: Sequence[str],
        image_paths: Sequence[Path],
        mask_paths: Sequence[Path],
        rule: MaskRule,
        *,
        upright: bool = False,
    ) -> None:
        if not len(image_ids) == len(image_paths) == len(mask_paths):
            counts = len(image_ids), len(image_paths), len(mask_paths)
            raise ValueError(f"ids, pictures and masks must be equally many, not {counts}")
        self.categories = tuple(categories)
        self.rule = rule
        self.upright = upright
        self._image_ids = SharedTexts(image_ids)
        self._image_paths = SharedTexts([str(path) for path in image_paths])
        self._mask_paths = SharedTexts([str(path) for path in mask_paths])

    def __len__(self) -> int:
        return len(self._image_ids)

    def image_id(self, index: int) -> str:
        """Name of a picture in the data set."""
        return self._image_ids[index]

    def path(self, index: int) -> Path:
        """File of a picture."""
        return Path(self._image_paths[index])

    def image(self, index: int) -> np.ndarray:
        """A picture as its label map refers to it, uint8 RGB [H, W, 3].

        Raises:
            UserError: It cannot be read.
        """
        return read_image(self.path(index), upright=self.upright)

    def mask_path(self, index: int) -> Path:
        """File that a picture's label map comes from."""
        return Path(self._mask_paths[index])

    def mask_place(self, index: int) -> str:
        """How messages name a picture's mask."""
        return str(self.mask_path(index))

    def label_map(self, index: int) -> np.ndarray:
        """Class of every pixel of a picture, uint8 [H, W], `IGNORE_INDEX` for void.

        Raises:
            UserError: The mask cannot be read, or holds a value that is no class.
        """
        return read_mask(self.mask_path(index), self.rule)

    def choose(self, positions: Sequence[int]) -> "SegmentationIndex":
        """The index of the pictures at some positions alone, in that order."""
        return SegmentationIndex(
            self.categories,
            [self.image_id(position) for position in positions],
            [self.path(position) for position in positions],
            [self.mask_path(position) for position in positions],
            self.rule,
            upright=self.upright,
        )
