"""A segmenter's pictures and label maps, out of the data section of its config."""

import re
from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError

from mnv2_dense.builders.segmentation_files import list_masks, pair_split, read_instances
from mnv2_dense.caching.enlarged import enlarge_masks
from mnv2_dense.caching.manifest import find_cache
from mnv2_dense.config.segmentation import SegmentationData
from mnv2_dense.errors import UserError
from mnv2_dense.formats.class_names import (
    BACKGROUND,
    CITYSCAPES_CLASSES,
    CITYSCAPES_LABELS,
    VOC_CLASSES,
)
from mnv2_dense.formats.color_table import find_table, read_table
from mnv2_dense.formats.problems import refuse
from mnv2_dense.formats.split import draw_split
from mnv2_dense.segmentation.color_masks import hold_colors
from mnv2_dense.segmentation.contents import count_classes, describe_colors, find_contents
from mnv2_dense.segmentation.gaps import describe_gaps
from mnv2_dense.segmentation.index import SegmentationIndex
from mnv2_dense.segmentation.masks import MaskRule
from mnv2_dense.segmentation.rendered import index_outlines

_VOC_NAME = re.compile(r"20(07|08|09|10|11|12)_\d{6}")


def read_split(data: SegmentationData, split: str) -> SegmentationIndex:
    """The pictures and label maps of `train` or `val`.

    Those of a cache are brought to the originals' sizes: see `mnv2_dense.caching.enlarged`.

    Raises:
        UserError: They cannot be used, or no class list can be had.
    """
    data = settle_classes(data)
    if data.format == "coco":
        return index_outlines(
            read_instances(data, split),
            class_names(data),
            min_area=data.min_object_area if split == "train" else 0,
            upright=data.orientation == "upright",
            check_sizes=data.on_bad_image == "stop",
        )
    index = _read_masks(data, split if data.val_share is None else "train")
    if (cache := find_cache(Path(data.root))) is not None:
        index = enlarge_masks(index, cache, measured=split == "val")
    if data.val_share is None:
        return index
    ids = [index.image_id(position) for position in range(len(index))]
    return index.choose(draw_split(ids, data.val_share, data.split_seed)[split])


def class_names(data: SegmentationData) -> tuple[str, ...]:
    """The classes that the section names, or numbered ones, in label order.

    Raises:
        UserError: It has neither `classes` nor `num_classes`.
    """
    names, count = data.classes, data.num_classes
    if names is None and count is None:
        raise UserError(
            "data.classes is not given; list the names of the classes in the order of their mask "
            "values, background (0) first, or give data.num_classes=N"
        )
    return names or tuple(f"class {value}" for value in range(count or 0))


def mask_rule(data: SegmentationData) -> MaskRule:
    """How the masks of a section whose classes are settled are read."""
    count = len(class_names(data))
    return MaskRule(count, data.ignore_index, data.colors, data.ignore_color, _labels(data))


def settle_classes(
    data: SegmentationData, tell: Callable[[str], object] | None = None, *, partial: bool = False
) -> SegmentationData:
    """The section with its classes: those that it gives, else those of the data.

    They are, by format, the categories of a COCO file behind `background`; Cityscapes' 19; the
    lines of a table of names and colours (`color_table`, or one in the root); VOC's 21, where the
    pictures have VOC's names and the masks all of its values; else as many as the values of the
    training masks say, unnamed.

    A checkpoint must keep the list: another data set that it is measured on may lack a class.

    Args:
        data: The section.
        tell: Is given a line where classes were counted, but some of them are in no mask.
        partial: Pass over pictures without their masks, which training refuses.

    Raises:
        UserError: The data are not there, or do not say what classes they have.
    """
    if (cache := find_cache(Path(data.root))) is not None:
        cache.check_section(data.model_dump(mode="json"))
    if data.classes is not None:
        return data
    if data.format == "coco":
        names = [category.name for category in read_instances(data, "train").categories]
        chosen = (name for name in dict.fromkeys(names) if name != BACKGROUND)
        return _with(data, classes=(BACKGROUND, *chosen))
    if data.color_table is not None:
        return _with_table(data, Path(data.root) / data.color_table, partial)
    if data.num_classes is not None or data.colors is not None:
        return _with(data, num_classes=data.num_classes or len(data.colors or ()))
    if data.format == "cityscapes":
        return _with(data, classes=CITYSCAPES_CLASSES)
    if (table := find_table(Path(data.root))) is not None:
        return _with_table(data, table, partial)
    return _with_masks(data, tell, partial)


def _read_masks(data: SegmentationData, split: str) -> SegmentationIndex:
    stop = data.on_bad_image == "stop"
    return list_masks(data, split, class_names(data), mask_rule(data), check_sizes=stop)


def _labels(data: SegmentationData) -> tuple[int, ...] | None:
    """Cityscapes' label ids as train ids, where 19 classes are read from masks of label ids."""
    by_id = data.format == "cityscapes" and Path(data.mask_suffix).stem.endswith("labelIds")
    measured = len(class_names(data)) == len(CITYSCAPES_CLASSES)
    return CITYSCAPES_LABELS if by_id and measured else None


def _with_table(data: SegmentationData, path: Path, partial: bool) -> SegmentationData:
    """The section with the names of a table, and with its colours where the masks hold those."""
    table = read_table(path)
    _, masks = _training_masks(data, partial)
    if table.colors is None or not hold_colors(masks, table.colors, data.ignore_index):
        return _with(data, color_table=None, classes=table.names)
    table, void = table.split_void()
    return _with(
        data,
        color_table=None,
        classes=table.names,
        colors=table.colors,
        ignore_color=data.ignore_color or void,
    )


def _with_masks(
    data: SegmentationData, tell: Callable[[str], object] | None, partial: bool
) -> SegmentationData:
    """The section with as many classes as the masks hold."""
    ids, masks = _training_masks(data, partial)
    contents = find_contents(masks)
    if contents.colors:
        raise UserError(describe_colors(contents.colors, masks[0].parent))
    count = count_classes(contents.values, data.ignore_index)
    in_voc = data.format == "voc" and all(_VOC_NAME.fullmatch(name) for name in ids)
    if in_voc and count == len(VOC_CLASSES):
        return _with(data, classes=VOC_CLASSES)
    if tell is not None and (line := describe_gaps(contents.masks, data.ignore_index)):
        tell(line)
    return _with(data, num_classes=count)


def _training_masks(data: SegmentationData, partial: bool) -> tuple[list[str], list[Path]]:
    """Ids of the training pictures, those of a drawn validation share among them, and masks."""
    pairs = pair_split(data.model_copy(update={"val_share": None}), "train")
    if not partial:
        refuse(pairs.problems)
    return pairs.keys, pairs.mask_paths


def _with(data: SegmentationData, **changes: object) -> SegmentationData:
    """The section with some keys changed, and checked again."""
    try:
        return SegmentationData.model_validate({**data.model_dump(), **changes})
    except ValidationError as error:
        found = "; ".join(str(each["ctx"]["error"]) for each in error.errors() if "ctx" in each)
        raise UserError(f"data section, with the classes of {data.root}: {found}") from error
