"""A detection data set in memory, whatever format it is stored in."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from mnv2_dense.errors import UserError
from mnv2_dense.formats.problems import Problem
from mnv2_dense.formats.records import Record, choose_annotations
from mnv2_dense.structures import Category


@dataclass(frozen=True)
class BoxSet:
    """Pictures and boxes as COCO's records.

    Attributes:
        source: The annotation file or folder; messages begin with it.
        image_folder: Where the pictures are.
        images: `id`, `file_name` (below `image_folder`), `width`, `height`; ordered by id.
        categories: Ordered by category_id; a label is a position in it.
        annotations: `id`, `image_id`, `category_id`, `bbox` [x, y, width, height] in pixels,
            `iscrowd` and `difficult` (0 or 1), and what else the format has (`area`,
            `segmentation`). A format without ids gives its `place` instead: `7.xml object 2`.
            COCO's are made as they are asked for: see `records.columns_of`.
        problems: What the reader found. Records that it could not use are left out above.
        places: What the places of annotations are called.
        extras: What else COCO's file has beside its three lists: `info`, `licenses`.
        category_extras: By category_id, what else it says of a category: `supercategory`.
    """

    source: Path
    image_folder: Path
    images: list[Record]
    categories: tuple[Category, ...]
    annotations: Sequence[Record]
    problems: list[Problem] = field(default_factory=list)
    places: str = "annotation ids"
    extras: Record = field(default_factory=dict)
    category_extras: Mapping[int, Record] = field(default_factory=dict)

    def content(self) -> Record:
        """The set as COCO's instances files have it, with areas of boxes where there are none."""
        categories = [
            {"id": number, "name": name, **self.category_extras.get(number, {})}
            for number, name in self.categories
        ]
        return {
            **self.extras,
            "images": self.images,
            "annotations": [_whole(entry) for entry in self.annotations],
            "categories": categories,
        }

    def choose_images(self, positions: Collection[int]) -> "BoxSet":
        """The set with those images alone, in their order, that stand at some positions."""
        images = [image for position, image in enumerate(self.images) if position in positions]
        kept = {image["id"] for image in images}
        annotations = choose_annotations(self.annotations, "image_id", kept)
        return replace(self, images=images, annotations=annotations)

    def choose_classes(self, names: Sequence[str]) -> "BoxSet":
        """The set with some classes alone; all images stay.

        Raises:
            UserError: The set has no such class.
        """
        known = {category.name for category in self.categories}
        unknown = [name for name in names if name not in known]
        if unknown:
            raise UserError(
                f"{self.source}: has no class named {', '.join(unknown)} (data.classes); it has "
                f"{', '.join(category.name for category in self.categories)}"
            )
        categories = tuple(each for each in self.categories if each.name in names)
        kept = {category.category_id for category in categories}
        annotations = choose_annotations(self.annotations, "category_id", kept)
        return replace(self, categories=categories, annotations=annotations)


def place_of(annotation: Record) -> str:
    """How messages name an annotation: its place, or its id."""
    return str(annotation.get("place", annotation["id"]))


def _whole(annotation: Record) -> Record:
    fields = {key: value for key, value in annotation.items() if key != "place"}
    return {"area": annotation["bbox"][2] * annotation["bbox"][3], "iscrowd": 0, **fields}
