"""Label maps drawn from the outlines of instances, when they are asked for."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from typing_extensions import override

from mnv2_dense.errors import UserError
from mnv2_dense.formats.box_set import BoxSet, Record, place_of
from mnv2_dense.formats.class_names import BACKGROUND, find_name
from mnv2_dense.formats.outlines import MAX_PIXELS, Outline, draw_outlines, parse_outline
from mnv2_dense.formats.problems import Problem, errors_at, refuse
from mnv2_dense.images import image_size
from mnv2_dense.ops.texts import SharedTexts, list_first
from mnv2_dense.segmentation.index import SegmentationIndex
from mnv2_dense.segmentation.masks import MaskRule, size_problem
from mnv2_dense.structures import IGNORE_INDEX, Category, ImageSize

Instance = tuple[int, int, Outline]
"""Label from 1, whether it is a crowd (0 or 1), and outline."""


class RenderedIndex(SegmentationIndex):
    """A `SegmentationIndex` whose label maps are drawn by `render`.

    Outlines are kept as JSON texts in shared memory: as label maps they would take a hundred times
    the space.

    Args:
        categories: The classes; label 0 is the background.
        source: The annotation file.
        image_ids: One name per picture, each once.
        image_paths: The pictures, in the order of `image_ids`.
        sizes: Their sizes as the file gives them, int64 [N, 2], height and width.
        instances: Their instances, each a JSON list of `Instance`.
        upright: Whether outlines refer to pictures as EXIF turns them.
    """

    def __init__(
        self,
        categories: Sequence[Category],
        source: Path,
        image_ids: Sequence[str],
        image_paths: Sequence[Path],
        sizes: Tensor,
        instances: Sequence[str],
        *,
        upright: bool = False,
    ) -> None:
        sources = [source] * len(image_ids)
        rule = MaskRule(len(categories))
        super().__init__(categories, image_ids, image_paths, sources, rule, upright=upright)
        self.source = source
        self.sizes = sizes.share_memory_()
        self._instances = SharedTexts(instances)

    @override
    def mask_place(self, index: int) -> str:
        return f"{self.source} image id {self.image_id(index)}"

    @override
    def label_map(self, index: int) -> np.ndarray:
        height, width = self.sizes[index].tolist()
        return render(json.loads(self._instances[index]), ImageSize(height, width))

    @override
    def choose(self, positions: Sequence[int]) -> "RenderedIndex":
        return RenderedIndex(
            self.categories,
            self.source,
            [self.image_id(position) for position in positions],
            [self.path(position) for position in positions],
            self.sizes[list(positions)],
            [self._instances[position] for position in positions],
            upright=self.upright,
        )


def render(instances: Sequence[Instance], size: ImageSize) -> np.ndarray:
    """Class of every pixel, uint8 [H, W], `IGNORE_INDEX` for void, from the outlines of instances.

    Pixels that instances of two classes claim are void, and so are crowd regions; pixels that
    nobody claims are background. COCO does not say which of two instances is in front: void
    teaches nothing wrong there (torchvision's reference voids every overlap, even of one class;
    gluon-cv gives it to whichever instance the file lists first). A crowd region is too rough to
    learn from: it holds what is between its members as well.
    """
    outlines: dict[int, list[Outline]] = defaultdict(list)
    for label, crowd, outline in instances:
        outlines[IGNORE_INDEX if crowd else label].append(outline)
    # Column by column, as outlines are drawn: mixed orders take several times as long.
    label_map = np.zeros(size, dtype=np.uint8, order="F")
    void = np.zeros(size, dtype=bool, order="F")
    for label, group in outlines.items():
        covered = draw_outlines(group, size)
        void |= covered & (label_map != 0)
        label_map[covered] = label
    label_map[void] = IGNORE_INDEX
    return np.ascontiguousarray(label_map)


def index_outlines(
    boxes: BoxSet,
    names: Sequence[str],
    *,
    min_area: float = 0,
    upright: bool = False,
    check_sizes: bool = True,
) -> RenderedIndex:
    """The pictures of a set with label maps of some of its classes.

    Args:
        boxes: COCO's images and annotations.
        names: `background`, then the classes in the order of their labels, by the set's names or
            by those that COCO and VOC have for the same things. Other classes are background.
        min_area: Pictures whose chosen instances have a smaller area together, in pixels, are
            left out.
        upright: Whether outlines were drawn on the pictures as EXIF turns them.
        check_sizes: Whether the pictures are opened, and their sizes compared with the file's.

    Raises:
        UserError: The set has mistakes or lacks a class, an outline is missing or malformed, a
            picture is of another size, or none is left.
    """
    labels = _labels_by_category(boxes, names)
    problems = [*boxes.problems, *_large_images(boxes)]
    refuse(problems)
    sizes = {image["id"]: ImageSize(image["height"], image["width"]) for image in boxes.images}
    instances, problems = _instances(boxes, labels, sizes)
    refuse(problems)
    images = [image for image in boxes.images if _area(instances[image["id"]]) >= min_area]
    if not images:
        raise UserError(
            f"{boxes.source}: no picture is left, with min_object_area {min_area:g} (data section)"
        )
    paths = [boxes.image_folder / image["file_name"] for image in images]
    if check_sizes:
        _check_sizes(paths, [sizes[image["id"]] for image in images], upright)
    return RenderedIndex(
        tuple(Category(label, name) for label, name in enumerate(names)),
        boxes.source,
        [str(image["id"]) for image in images],
        paths,
        torch.tensor([sizes[image["id"]] for image in images], dtype=torch.int64),
        [json.dumps([each[1:] for each in instances[image["id"]]]) for image in images],
        upright=upright,
    )


_Measured = tuple[float, int, int, Outline]
"""Area in pixels as the file gives it, and what an `Instance` has."""


def _area(instances: Sequence[_Measured]) -> float:
    return sum(area for area, *_ in instances)


def _labels_by_category(boxes: BoxSet, names: Sequence[str]) -> dict[int, int]:
    if names[0] != BACKGROUND:
        raise UserError(
            f"data.classes begins with {names[0]!r}; with format coco it begins with "
            f"{BACKGROUND!r}, the class of all pixels outside of instances"
        )
    known = [category.name for category in boxes.categories]
    found = {name: find_name(name, known) for name in names[1:]}
    if unknown := [name for name in found if found[name] is None]:
        raise UserError(
            f"{boxes.source}: has no class named {list_first(unknown)} (data.classes); it has "
            f"{', '.join(known)}"
        )
    labels = {found[name]: label for label, name in enumerate(names[1:], start=1)}
    if len(labels) < len(found):
        raise UserError("data.classes names one class twice, by COCO's and by VOC's name")
    return {
        category.category_id: labels[category.name]
        for category in boxes.categories
        if category.name in labels
    }


def _large_images(boxes: BoxSet) -> list[Problem]:
    large = [image["id"] for image in boxes.images if image["width"] * image["height"] > MAX_PIXELS]
    title = f"{boxes.source}: pictures of more than {MAX_PIXELS:,} pixels, image ids"
    return errors_at("large_image", title, large)


def _instances(
    boxes: BoxSet, labels: Mapping[int, int], sizes: Mapping[int, ImageSize]
) -> tuple[Mapping[int, list[_Measured]], list[Problem]]:
    """Instances of the chosen classes by image id, and what is wrong with others."""
    instances: dict[int, list[_Measured]] = defaultdict(list)
    absent: list[str] = []
    malformed: list[str] = []
    for entry in boxes.annotations:
        label = labels.get(entry["category_id"])
        if label is None:
            continue
        segmentation = entry.get("segmentation")
        outline = parse_outline(segmentation, sizes[entry["image_id"]])
        if outline is None:
            (malformed if segmentation else absent).append(place_of(entry))
            continue
        record = (_area_of(entry), label, int(entry.get("iscrowd", 0)), outline)
        instances[entry["image_id"]].append(record)
    title = f"{boxes.source}: no segmentation (outline) for {boxes.places}"
    problems = errors_at("no_outline", title, absent)
    title = (
        f"{boxes.source}: segmentation is neither polygons of three points or more inside or near "
        f"the picture, nor run lengths of the picture's size, for {boxes.places}"
    )
    return instances, problems + errors_at("bad_outline", title, malformed)


def _area_of(entry: Record) -> float:
    """The outline's area as the file gives it, else the box's."""
    return entry["area"] if "area" in entry else entry["bbox"][2] * entry["bbox"][3]


def _check_sizes(paths: Sequence[Path], sizes: Sequence[ImageSize], upright: bool) -> None:
    problems: list[str] = []
    for path, size in zip(paths, sizes, strict=True):
        try:
            problem = size_problem(image_size(path, upright=upright), size)
        except UserError as error:
            problems.append(str(error))
        else:
            problems += [f"{path}: {problem}"] if problem else []
    if problems:
        raise UserError(f"pictures that do not fit their annotations: {list_first(problems)}")
