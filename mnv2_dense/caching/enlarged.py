"""Indexes of a cache: where it is measured, its pictures are brought back to their original sizes.

All that reads those works in pixels of the originals: boxes, masks, areas and scores are theirs.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from typing_extensions import override

from mnv2_dense.caching.manifest import TABLE, Manifest
from mnv2_dense.caching.reading import read_plain
from mnv2_dense.caching.sizing import enlarge, enlarge_labels
from mnv2_dense.caching.table import read_table
from mnv2_dense.detection.index import DetectionIndex
from mnv2_dense.errors import UserError
from mnv2_dense.images import read_image
from mnv2_dense.segmentation.index import SegmentationIndex
from mnv2_dense.segmentation.masks import MaskRule
from mnv2_dense.structures import Category, ImageSize


class CachedDetectionIndex(DetectionIndex):
    """A detector's index of scaled boxes, over the pictures of a cache.

    Args:
        index: The same, as of any data set.
    """

    def __init__(self, index: DetectionIndex) -> None:
        super().__init__(
            index.image_folder,
            index.categories,
            index.box_report,
            image_ids=index.image_ids,
            sizes=index.sizes,
            boxes=index.boxes,
            labels=index.labels,
            box_offsets=index.box_offsets,
            file_names=index.file_names,
            upright=index.upright,
            notes=index.notes,
        )

    @override
    def image(self, index: int) -> np.ndarray:
        found = read_plain(self.path(index), self.size(index))
        return super().image(index) if found is None else found


class EnlargedDetectionIndex(CachedDetectionIndex):
    """A detector's index of original boxes, over the pictures of a cache."""

    @override
    def image(self, index: int) -> np.ndarray:
        path = self.path(index)
        return _enlarge(read_image(path, upright=self.upright), self.size(index), path)


class EnlargedSegmentationIndex(SegmentationIndex):
    """A segmenter's index of a cache; its label maps are enlarged where they are not originals.

    So a scale drawn in training means the same as with the original pictures.

    Args:
        categories: See `SegmentationIndex`, as of the others.
        image_ids: One name per picture.
        image_paths: The cached pictures.
        mask_paths: Their masks, cached or original.
        rule: How the masks are read.
        sizes: Of the original pictures and of the cached ones, int64 [N, 2, 2], height and width.
        upright: Whether masks refer to pictures as EXIF turns them.
    """

    def __init__(
        self,
        categories: Sequence[Category],
        image_ids: Sequence[str],
        image_paths: Sequence[Path],
        mask_paths: Sequence[Path],
        rule: MaskRule,
        sizes: Tensor,
        *,
        upright: bool = False,
    ) -> None:
        super().__init__(categories, image_ids, image_paths, mask_paths, rule, upright=upright)
        self.sizes = sizes.share_memory_()

    @override
    def image(self, index: int) -> np.ndarray:
        original, cached = self._sizes(index)
        found = read_plain(self.path(index), cached)
        image = super().image(index) if found is None else found
        return _enlarge(image, original, self.path(index))

    @override
    def label_map(self, index: int) -> np.ndarray:
        return enlarge_labels(super().label_map(index), self._sizes(index)[0])

    def _sizes(self, index: int) -> tuple[ImageSize, ImageSize]:
        original, cached = self.sizes[index].tolist()
        return ImageSize(*original), ImageSize(*cached)

    @override
    def choose(self, positions: Sequence[int]) -> "EnlargedSegmentationIndex":
        chosen = super().choose(positions)
        masks = [self.mask_path(position) for position in positions]
        return _with_sizes(chosen, masks, self.sizes[list(positions)])


def enlarge_masks(
    index: SegmentationIndex, cache: Manifest, *, measured: bool
) -> EnlargedSegmentationIndex:
    """The index of a cache's files as one of the original sizes.

    Args:
        index: Of the files as they are.
        cache: Where they are.
        measured: Whether the original masks take the places of the cached ones.

    Raises:
        UserError: A picture is not in the cache's table.
    """
    entries = {entry.picture: entry for entry in read_table(cache.root / TABLE)[1]}
    sizes: list[tuple[ImageSize, ImageSize]] = []
    masks: list[Path] = []
    for position in range(len(index)):
        path, mask = index.path(position), index.mask_path(position)
        entry = entries.get(cache.name(path).as_posix())
        if entry is None:
            raise UserError(f"{path}: is not in {cache.root / TABLE}; prepare the cache anew")
        sizes.append((entry.size, entry.cached))
        original = measured and entry.resized
        masks.append(cache.root / cache.original(mask) if original else mask)
    return _with_sizes(index, masks, torch.tensor(sizes, dtype=torch.int64).reshape(-1, 2, 2))


def _with_sizes(
    index: SegmentationIndex, masks: Sequence[Path], sizes: Tensor
) -> EnlargedSegmentationIndex:
    places = range(len(index))
    return EnlargedSegmentationIndex(
        index.categories,
        [index.image_id(position) for position in places],
        [index.path(position) for position in places],
        masks,
        index.rule,
        sizes,
        upright=index.upright,
    )


def _enlarge(image: np.ndarray, size: ImageSize, path: Path) -> np.ndarray:
    found = ImageSize(*image.shape[:2])
    if found.height > size.height or found.width > size.width:
        raise UserError(
            f"{path}: {found.width} x {found.height} pixels, but its original has "
            f"{size.width} x {size.height}; prepare the cache anew"
        )
    return enlarge(image, size)
