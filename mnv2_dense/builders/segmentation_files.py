"""A segmenter's files, found where the data section of its config says."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mnv2_dense.builders.scenes import advise
from mnv2_dense.config.segmentation import SegmentationData
from mnv2_dense.errors import UserError
from mnv2_dense.formats.box_set import BoxSet
from mnv2_dense.formats.coco import read_coco
from mnv2_dense.formats.split import draw_split
from mnv2_dense.segmentation.folders import Pairs, pair_files, read_folders
from mnv2_dense.segmentation.index import SegmentationIndex
from mnv2_dense.segmentation.masks import MaskRule
from mnv2_dense.structures import Category


def list_masks(
    data: SegmentationData, split: str, names: Sequence[str], rule: MaskRule, *, check_sizes: bool
) -> SegmentationIndex:
    """The pictures with their masks.

    Args:
        data: Where they are.
        split: Whose `train_` or `val_` keys are read.
        names: The classes.
        rule: How the masks are read.
        check_sizes: Whether pictures and masks are opened.

    Raises:
        UserError: See `read_folders`.
    """
    return read_folders(
        **_places(data, split),
        categories=[Category(value, name) for value, name in enumerate(names)],
        rule=rule,
        hint=advise(data),
        check_sizes=check_sizes,
        upright=data.orientation == "upright",
    )


def _places(data: SegmentationData, split: str) -> dict[str, Any]:
    """Where pictures and masks are, and how a mask is named after its picture."""
    images, masks = _folders(data, split, "masks")
    listed = getattr(data, f"{split}_list")
    return {
        "images": images,
        "masks": masks,
        "list_file": None if listed is None else Path(data.root) / listed,
        "image_suffix": data.image_suffix,
        "mask_suffix": data.mask_suffix,
    }


def _folders(data: SegmentationData, split: str, truth: str) -> tuple[Path, Path]:
    keys = (f"{split}_images", f"{split}_{truth}")
    images, labels = (getattr(data, key) for key in keys)
    if images is None or labels is None:
        raise UserError(
            f"data.{keys[0]} and data.{keys[1]} are needed to read the {split} pictures, or "
            "data.val_share, which draws them from the training pictures"
        )
    return Path(data.root) / images, Path(data.root) / labels


def read_instances(data: SegmentationData, split: str) -> BoxSet:
    """The pictures and instances of COCO's files.

    Raises:
        UserError: They cannot be read at all.
    """
    source = split if data.val_share is None else "train"
    images, annotations = _folders(data, source, "annotations")
    boxes = read_coco(annotations, images)
    if data.val_share is None:
        return boxes
    names = [image["file_name"] for image in boxes.images]
    return boxes.choose_images(set(draw_split(names, data.val_share, data.split_seed)[split]))


def pair_split(data: SegmentationData, split: str) -> Pairs:
    """The picture and mask files of `train` or `val`, none opened, with what is wrong with others.

    Raises:
        UserError: There are none at all.
    """
    source = split if data.val_share is None else "train"
    pairs = pair_files(**_places(data, source))
    if data.val_share is None:
        return pairs
    return pairs.choose(draw_split(pairs.keys, data.val_share, data.split_seed)[split])
