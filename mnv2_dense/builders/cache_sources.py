"""The pictures of a config's data as those that a cache is made of."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mnv2_dense.builders.detection_data import read_usable
from mnv2_dense.builders.segmentation_data import read_split as read_masks
from mnv2_dense.caching.annotations import write_annotations, write_original
from mnv2_dense.caching.manifest import ORIGINALS
from mnv2_dense.caching.naming import name_pictures
from mnv2_dense.caching.preparing import Item
from mnv2_dense.caching.table import Entry
from mnv2_dense.config.detection import LAYOUTS as BOX_LAYOUTS
from mnv2_dense.config.schema import Config, DetectionConfig
from mnv2_dense.config.segmentation import LAYOUTS as MASK_LAYOUTS
from mnv2_dense.detection.index import DetectionIndex
from mnv2_dense.detection.targets import build_index
from mnv2_dense.errors import UserError
from mnv2_dense.formats.box_set import BoxSet
from mnv2_dense.formats.picture_files import stem_of
from mnv2_dense.segmentation.index import SegmentationIndex
from mnv2_dense.segmentation.masks import size_problem
from mnv2_dense.structures import ImageSize
from mnv2_dense.training.durable import replace_durably

BOX_PLACES, MASK_PLACES = BOX_LAYOUTS["coco"], MASK_LAYOUTS["voc"]
"""Where a cache has its files: the places of the default formats of both tasks."""


class Source(NamedTuple):
    """A split that is to be copied.

    Attributes:
        items: Its pictures.
        write: Writes what belongs to those that are in the cache, by place.
    """

    items: list[Item]
    write: Callable[[Mapping[str, Entry]], None]


def open_split(config: Config, out: Path, split: str, taken: set[str]) -> Source:
    """A split of a config's data.

    Args:
        config: Its classes are settled.
        out: The cache's folder.
        split: `train` or `val`.
        taken: Names of pictures of the other split; a segmenter's share a folder.

    Raises:
        UserError: The data cannot be used.
    """
    root = Path(config.data.root)
    if isinstance(config, DetectionConfig):
        boxes = read_usable(config.data, split)
        index = build_index(boxes, upright=config.data.orientation == "upright")
        return _box_source(boxes, index, root, out, split)
    index = read_masks(config.data, split)
    return _mask_source(index, root, out, split, taken)


def _box_source(boxes: BoxSet, index: DetectionIndex, root: Path, out: Path, split: str) -> Source:
    folder = BOX_PLACES[f"{split}_images"]
    stems = [stem_of(image["file_name"]) for image in boxes.images]
    places = [f"{folder}/{name}" for name in name_pictures(stems, set())]
    items = [
        Item(place, root, (index.path(position),), partial(_read_boxed, index, position))
        for position, place in enumerate(places)
    ]

    def write(entries: Mapping[str, Entry]) -> None:
        chosen = {
            image["id"]: entries[place]
            for image, place in zip(boxes.images, places, strict=True)
            if place in entries
        }
        file = BOX_PLACES[f"{split}_annotations"]
        write_annotations(out / file, boxes, chosen, folder)
        write_original(out / ORIGINALS / file, boxes, chosen, folder)

    return Source(items, write)


def _read_boxed(index: DetectionIndex, position: int) -> tuple[np.ndarray, None]:
    return index.image(position), None


def _mask_source(
    index: SegmentationIndex, root: Path, out: Path, split: str, taken: set[str]
) -> Source:
    ids = [index.image_id(position) for position in range(len(index))]
    images, masks = (MASK_PLACES[f"{split}_{key}"] for key in ("images", "masks"))
    names = name_pictures(ids, taken)
    items = [
        Item(
            f"{images}/{name}",
            root,
            (index.path(position), index.mask_path(position)),
            partial(_read_masked, index, position),
            f"{masks}/{name}",
        )
        for position, name in enumerate(names)
    ]

    def write(entries: Mapping[str, Entry]) -> None:
        listed = [name for name in names if f"{images}/{name}" in entries]
        text = "".join(f"{name}\n" for name in listed)
        file = out / MASK_PLACES[f"{split}_list"]
        file.parent.mkdir(parents=True, exist_ok=True)
        replace_durably(file, lambda stream: stream.write(text.encode()))

    return Source(items, write)


def _read_masked(index: SegmentationIndex, position: int) -> tuple[np.ndarray, np.ndarray]:
    image, label_map = index.image(position), index.label_map(position)
    if problem := size_problem(ImageSize(*image.shape[:2]), ImageSize(*label_map.shape)):
        raise UserError(f"{index.mask_place(position)}: {problem}")
    return image, label_map
