"""A detector's pictures and boxes, out of the data section of its config."""

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from mnv2_dense.builders.scenes import advise
from mnv2_dense.caching.enlarged import CachedDetectionIndex, EnlargedDetectionIndex
from mnv2_dense.caching.manifest import find_cache
from mnv2_dense.config.detection import DetectionData
from mnv2_dense.detection.index import DetectionIndex
from mnv2_dense.detection.targets import build_index
from mnv2_dense.errors import UserError
from mnv2_dense.formats import voc_xml
from mnv2_dense.formats.box_set import BoxSet
from mnv2_dense.formats.coco import read_coco
from mnv2_dense.formats.problems import Level, Problem
from mnv2_dense.formats.split import Choice, draw_split
from mnv2_dense.formats.stamps import Stamp, stamp_of
from mnv2_dense.formats.voc import class_names, read_voc
from mnv2_dense.formats.yolo import read_yolo
from mnv2_dense.ops.texts import list_first


def read_boxes(data: DetectionData, split: str, *, whole: bool = False) -> BoxSet:
    """The pictures and boxes of `train` or `val` with what is wrong with them.

    Args:
        data: Where they are.
        split: `train` or `val`.
        whole: Whether fields of COCO's files are kept that a detector does not need.

    Raises:
        UserError: They cannot be read at all, or lack a class of `data.classes`.
    """
    if data.val_share is None:
        boxes = _read(data, split, None, whole)
    else:
        share, seed = data.val_share, data.split_seed
        boxes = _read(data, "train", lambda names: draw_split(names, share, seed)[split], whole)
    return boxes if data.classes is None else boxes.choose_classes(data.classes)


def _read(data: DetectionData, split: str, choose: Choice | None, whole: bool) -> BoxSet:
    if (cache := find_cache(Path(data.root))) is not None:
        cache.check_section(data.model_dump(mode="json"))
    upright = data.orientation == "upright"
    images, annotations, listed = (
        getattr(data, f"{split}_{key}") for key in ("images", "annotations", "list")
    )
    root = Path(data.root)
    if data.format == "yolo":
        return read_yolo(root, split, images, data.classes, upright=upright, choose=choose)
    if images is None or (annotations is None and data.format == "coco"):
        raise UserError(
            f"data.{split}_images and data.{split}_annotations are needed to read the {split} "
            "pictures, or data.val_share, which draws them from the training pictures"
        )
    annotations, images = root / (annotations or images), root / images
    if data.format == "coco":
        if data.generate is not None and not annotations.is_file():
            raise UserError(f"not found: annotation file {annotations}. {advise(data)}")
        return _read_coco(annotations, images, choose, whole)
    names = data.classes or find_classes(data)
    listed = None if listed is None else root / listed
    return read_voc(annotations, images, listed, names, upright=upright, choose=choose)


def _read_coco(annotations: Path, images: Path, choose: Choice | None, whole: bool) -> BoxSet:
    if choose is None:
        return read_coco(annotations, images, whole=whole)
    boxes = _read_whole(annotations, images, (stamp_of(annotations), stamp_of(images)), whole)
    return boxes.choose_images(set(choose([image["file_name"] for image in boxes.images])))


@lru_cache(maxsize=1)
def _read_whole(
    annotations: Path, images: Path, stamps: tuple[Stamp, Stamp], whole: bool
) -> BoxSet:
    """The file of which one share after the other is taken."""
    return read_coco(annotations, images, whole=whole)


def forget_files() -> None:
    """Gives back the memory of files that are kept to be read once for both splits."""
    _read_whole.cache_clear()
    voc_xml.forget()


def find_classes(data: DetectionData) -> tuple[str, ...]:
    """Names of the classes in VOC's XML files of both splits, sorted.

    Raises:
        UserError: A folder is missing, or there is no object in it.
    """
    root = Path(data.root)
    train = data.train_annotations or data.train_images
    folders = dict.fromkeys((train, data.val_annotations or data.val_images))
    return class_names([root / folder for folder in folders if folder is not None])


def settle_classes(data: DetectionData) -> DetectionData:
    """The section with its class list, where the format has none of its own (VOC).

    A checkpoint must keep the list: another data set that it is measured on may lack a class.

    Raises:
        UserError: The data are not there to look for classes.
    """
    if data.format != "voc" or data.classes is not None:
        return data
    return data.model_copy(update={"classes": find_classes(data)})


def read_split(data: DetectionData, split: str) -> DetectionIndex:
    """The images and boxes of `train` or `val`.

    The boxes of a cache's `val` are the original ones: see `mnv2_dense.caching.enlarged`.

    Raises:
        UserError: They cannot be used, there is no box to train on, or there are other classes
            than the config counts.
    """
    measured = measured_section(data) if split == "val" else data
    index = build_index(read_usable(measured, split), upright=data.orientation == "upright")
    check_split(data, split, index)
    if measured is not data:
        return EnlargedDetectionIndex(index)
    return index if find_cache(Path(data.root)) is None else CachedDetectionIndex(index)


def read_usable(data: DetectionData, split: str) -> BoxSet:
    """What `read_boxes` gives, with pictures passed over as `on_bad_image` says.

    Raises:
        UserError: See `read_boxes`.
    """
    boxes = read_boxes(data, split)
    if data.on_bad_image == "skip":
        boxes = replace(boxes, problems=[*map(_pass_over, boxes.problems)])
    return boxes


def measured_section(data: DetectionData) -> DetectionData:
    """The section with the annotations that a validation set is measured against.

    Those of a cache are the originals, beside the scaled ones that it trains on; others stay.

    Raises:
        UserError: The cache is not finished, or damaged.
    """
    cache = find_cache(Path(data.root))
    key = "val_annotations" if data.val_share is None else "train_annotations"
    scaled = getattr(data, key)
    if cache is None or scaled is None:
        return data
    return data.model_copy(update={key: str(cache.original(cache.root / scaled))})


def check_split(data: DetectionData, split: str, index: DetectionIndex) -> None:
    """Refuses a split that nothing can be learnt from, or that is not what the config says.

    Raises:
        UserError: There is no box to train on, or there are other classes than the config counts.
    """
    names = [category.name for category in index.categories]
    if split == "train" and not len(index.boxes):
        raise UserError(
            f"{data.root}: no box to train on in {len(index)} pictures, of {list_first(names)}; "
            "look at the set with mnv2-dense check_data"
        )
    if data.num_classes not in (None, len(names)):
        raise UserError(
            f"data.num_classes={data.num_classes}, but {data.root} has {len(names)} "
            f"categories in its {split} annotations; give that number, or data.num_classes=null"
        )


def _pass_over(problem: Problem) -> Problem:
    """The problem, if it is a picture whose size could not be read, as one that is left out."""
    skipped = problem.kind == "unreadable_picture"
    return problem._replace(level=Level.PROBLEM) if skipped else problem


def read_truth(data: DetectionData) -> Mapping[str, Any]:
    """What the validation set is measured against, in the form of COCO's instances files.

    Raises:
        UserError: It cannot be read.
    """
    try:
        return read_boxes(measured_section(data), "val").content()
    finally:
        forget_files()
