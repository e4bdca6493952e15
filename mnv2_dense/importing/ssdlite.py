"""SSDLite in a file: prediction layers, extra levels, anchors and decoding."""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from mnv2_dense.backbone.blocks import RELEASE_EPSILON
from mnv2_dense.backbone.mobilenet_v2 import all_taps
from mnv2_dense.importing import anchors, decoding
from mnv2_dense.importing.found import Found
from mnv2_dense.importing.labels import detection_categories
from mnv2_dense.importing.layers import Layer
from mnv2_dense.importing.mobilenet_v2 import FoundBackbone, place_last
from mnv2_dense.importing.pictures import Preparation, detector_resize
from mnv2_dense.importing.scores import is_scored, score_loss
from mnv2_dense.importing.steps import Operation
from mnv2_dense.importing.walk import KEEPING, Walk, follow
from mnv2_dense.structures import Category, ImageSize

COORDINATES = 4
TO_OURS = (1, 0, 3, 2)
"""Place in a file's (ty, tx, th, tw) of our (tx, ty, tw, th)."""
RELEASE_SIZE = ImageSize(300, 300)
MAX_LEVELS = 32
"""Most maps that are predicted from; the release has six."""


class Level(NamedTuple):
    """One level: the step that it predicts from, and its two 1x1 layers."""

    tap: int
    boxes: int
    classes: int


def place_ssdlite(walk: Walk, backbone: FoundBackbone, preparation: Preparation) -> Found:
    """Gives the layers behind the last bottleneck their places.

    Raises:
        UserError: They are not SSDLite's, or its anchors or decoding are not known here.
    """
    if preparation.resize == "align_corners":
        raise walk.unknown("a resize of pictures with align_corners")
    place_last(walk, backbone)
    box_concat, class_concat = _find_concats(walk)
    levels = _find_levels(walk, box_concat, class_concat)
    counts = [_count_anchors(walk, level) for level in levels]
    slots = _count_slots(walk, levels, counts)
    categories = detection_categories(slots)
    for index, (level, count) in enumerate(zip(levels, counts, strict=True)):
        _place_predictors(walk, index, level, count, slots, categories)
    if len(categories) + 1 < slots:
        walk.notes.append(
            f"{slots - len(categories) - 1} of {slots} class columns are of ids that COCO's "
            "categories do not use; COCO's are assumed since there are 91, and the others are left "
            "out of the class predictions"
        )
    taps = _place_extras(walk, [level.tap for level in levels], backbone)
    size = preparation.size or RELEASE_SIZE
    if preparation.size is None:
        walk.notes.append(f"the file does not say its input size; {size.height} is assumed")
    cells = _cells(size, taps, backbone, len(levels))
    extras = [walk.layer(level.tap).channels for level in levels[len(taps) :]]
    return Found(
        "detection",
        {
            "input": {"resize": detector_resize(preparation, walk.file, walk.notes)},
            "head": {"name": "ssdlite", "taps": taps, "extra_channels": extras},
            "anchors": _find_anchors(walk, cells, counts, size),
            "loss": {"classification": score_loss(walk, class_concat, slots)},
            "decode": decoding.find_settings(walk, box_concat, slots),
        },
        categories,
        {"backbone": RELEASE_EPSILON},
    )


def _find_concats(walk: Walk) -> tuple[int, int]:
    """The concatenations of all boxes and of all class scores."""
    concats = [
        number
        for number, step in enumerate(walk.steps.items)
        if isinstance(step, Operation) and step.node.op == "concat" and _joins_layers(walk, step)
    ]
    if len(concats) > MAX_LEVELS:  # only two are known, but few can be named
        raise walk.unknown(f"{len(concats)} concatenations of layers, not of boxes and of scores")
    scored = [number for number in concats if is_scored(walk, number)]
    boxes = [number for number in concats if number not in scored]
    return walk.only(boxes, "concatenation of boxes"), walk.only(scored, "concatenation of scores")


def _joins_layers(walk: Walk, concat: Operation) -> bool:
    """Whether all that is concatenated are layers' outputs; in NMS there are other such steps."""
    sources = (follow(walk, source, (*KEEPING, "transpose")) for source in concat.sources)
    return all(isinstance(walk.steps.items[source], Layer) for source in sources)


def _find_levels(walk: Walk, box_concat: int, class_concat: int) -> list[Level]:
    levels = []
    for concat in (walk.operation(box_concat), walk.operation(class_concat)):
        if concat.node.attributes["axis"] != 1:
            raise walk.unknown(f"{concat.node.name} joins levels along another axis than 1")
    pairs = [walk.operation(concat).sources for concat in (box_concat, class_concat)]
    if not all(len(pairs[0]) == len(each) <= MAX_LEVELS for each in pairs):
        raise walk.unknown(f"{len(pairs[0])} maps of boxes and {len(pairs[1])} of scores")
    for box_source, class_source in zip(*pairs, strict=True):
        boxes, classes = (follow(walk, source, KEEPING) for source in (box_source, class_source))
        taps = {walk.layer(walk.layer(each).source).source for each in (boxes, classes)}
        if len(taps) != 1:
            raise walk.unknown(f"{walk.layer(boxes).node.name} and its scores read two maps")
        levels.append(Level(taps.pop(), boxes, classes))
    return levels


def _count_anchors(walk: Walk, level: Level) -> int:
    boxes = walk.layer(level.boxes)
    count, rest = divmod(boxes.channels, COORDINATES)
    if rest or not count:
        raise walk.unknown(f"{boxes.node.name} has {boxes.channels} channels, no multiple of 4")
    return count


def _count_slots(walk: Walk, levels: Sequence[Level], counts: Sequence[int]) -> int:
    """Class slots per anchor, alike on all levels."""
    slots = {
        walk.layer(level.classes).channels / count
        for level, count in zip(levels, counts, strict=True)
    }
    count = slots.pop()
    if slots or count != int(count) or count < 2:
        raise walk.unknown("levels of different class counts")
    return int(count)


def _place_predictors(
    walk: Walk, index: int, level: Level, count: int, slots: int, categories: Sequence[Category]
) -> None:
    box_order = [anchor * COORDINATES + place for anchor in range(count) for place in TO_OURS]
    kept = [0, *(category.category_id for category in categories)]
    class_order = [anchor * slots + slot for anchor in range(count) for slot in kept]
    for name, number, order in (
        ("box", level.boxes, box_order),
        ("class", level.classes, class_order),
    ):
        prefix = f"head.{name}_branches.{index}"
        depthwise = walk.layer(number).source
        walk.place(depthwise, f"{prefix}.0", kernel=3, depthwise=True)
        walk.place_biased(number, f"{prefix}.1", order)


def _place_extras(walk: Walk, taps: Sequence[int], backbone: FoundBackbone) -> list[str]:
    """Places the extra levels, and returns the names of the taps before them."""
    names = {number: name for name, number in backbone.taps.items()}
    known = [names[tap] for tap in taps if tap in names]
    if [names.get(tap) for tap in taps[: len(known)]] != known or not known:
        raise walk.unknown("levels that are not first the backbone's, then extra ones")
    for index, (before, tap) in enumerate(pairwise(taps[len(known) - 1 :])):
        depthwise = walk.layer(tap).source
        reduce = walk.layer(depthwise).source
        if walk.layer(reduce).source != before:
            raise walk.unknown(f"{walk.layer(reduce).node.name} does not follow the level before")
        prefix = f"head.extras.{index}"
        walk.place(reduce, f"{prefix}.0")
        walk.place(depthwise, f"{prefix}.1", kernel=3, stride=2, depthwise=True)
        walk.place(tap, f"{prefix}.2")
    return known


def _cells(
    size: ImageSize, taps: Sequence[str], backbone: FoundBackbone, levels: int
) -> list[ImageSize]:
    """Sizes of the levels' maps, each the last one halved and rounded up."""
    strides = {spec.name: spec.stride for spec in all_taps(backbone.plans(), last_channels=1)}
    found = [strides[tap] for tap in taps]
    found += [found[-1] * 2**extra for extra in range(1, levels - len(taps) + 1)]
    return [ImageSize(-(-size.height // each), -(-size.width // each)) for each in found]


def _find_anchors(
    walk: Walk, cells: Sequence[ImageSize], counts: Sequence[int], size: ImageSize
) -> dict[str, object]:
    total = sum(each.height * each.width * n for each, n in zip(cells, counts, strict=True))
    found = decoding.find_anchors(walk, total)
    if found is None:
        walk.notes.append(
            "anchors are computed from the maps' sizes in the file and could not be checked; the "
            "release's, of min_scale 0.2 and max_scale 0.95, are assumed"
        )
        names = anchors.check_scales(walk.steps.graph, counts)
        walk.explained |= dict.fromkeys(names, "anchors: the release's are generated here")
        return {}
    settings = anchors.find_settings(found.table, cells, counts, size, walk.file)
    walk.explained |= dict.fromkeys(found.names, "anchors: generated here, equal to these")
    return settings
