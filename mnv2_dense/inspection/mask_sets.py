"""A split's pictures and masks, whatever format they are stored in."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from mnv2_dense.builders.segmentation_data import class_names, mask_rule
from mnv2_dense.builders.segmentation_files import pair_split, read_instances
from mnv2_dense.config.segmentation import SegmentationData
from mnv2_dense.formats.problems import Problem
from mnv2_dense.inspection.masks import MaskFacts, count_labels, scan_mask
from mnv2_dense.segmentation.rendered import RenderedIndex, index_outlines


class MaskSet(NamedTuple):
    """The pictures and masks of a split.

    Attributes:
        keys: Names of the pictures.
        pictures: Their files.
        masks: Files of their masks; a set whose masks are drawn has none.
        problems: What is wrong with those that are left out.
        without_masks: Pictures that are left out because they have none.
        read: What the mask at a position holds.
    """

    keys: list[str]
    pictures: list[Path]
    masks: list[Path]
    problems: list[Problem]
    without_masks: list[Path]
    read: Callable[[int], MaskFacts]


def read_mask_set(data: SegmentationData, split: str) -> MaskSet:
    """The pictures and masks of `train` or `val`, none opened yet.

    Raises:
        UserError: They cannot be read at all.
    """
    if data.format == "coco":
        return _read_outlines(data, split)
    pairs = pair_split(data, split)
    rule = mask_rule(data)

    def read(position: int) -> MaskFacts:
        return scan_mask(pairs.mask_paths[position], rule)

    return MaskSet(
        pairs.keys,
        pairs.image_paths,
        pairs.mask_paths,
        pairs.problems,
        pairs.without_masks,
        read,
    )


def _read_outlines(data: SegmentationData, split: str) -> MaskSet:
    boxes = read_instances(data, split)
    index = index_outlines(
        replace(boxes, problems=[]), class_names(data), upright=data.orientation == "upright",
        check_sizes=False,
    )  # fmt: skip
    count = range(len(index))
    return MaskSet(
        [index.image_id(position) for position in count],
        [index.path(position) for position in count],
        [],
        boxes.problems,
        [],
        partial(_read_drawn, index),
    )


def _read_drawn(index: RenderedIndex, position: int) -> MaskFacts:
    return count_labels(Path(index.mask_place(position)), index.label_map(position))
