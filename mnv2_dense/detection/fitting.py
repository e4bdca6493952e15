"""How well anchors cover the boxes of a data set, and anchors that cover them better."""

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor
from torchvision.ops import box_iou

from mnv2_dense.detection.anchors import AnchorSettings
from mnv2_dense.detection.index import DetectionIndex
from mnv2_dense.detection.transforms import MIN_BOX_SIDE
from mnv2_dense.ops.boxes import center_to_corner, corner_to_center
from mnv2_dense.structures import ImageSize

MAX_IOUS = 500_000
"""Pairs of a box and an anchor held at once."""
STEPS = (1.3, 1.15, 1.07, 1.03, 1.015)
"""Factors by which a scale or ratio is changed in turn, coarsest first."""
MAX_ROUNDS = 20
"""Rounds over all values at one step, if they still improve."""
MIN_SCALE, MAX_RATIO = 0.005, 10.0
"""Bounds of what is proposed: scales up to 1, ratios down to 1 / MAX_RATIO."""
LEAST_GROWTH = 0.01
"""Least difference of two levels' scales; closer ones would be the same anchors twice."""

Score = tuple[float, float]
"""Matched share, then mean best IoU."""


class MatchQuality(NamedTuple):
    """How well anchors cover boxes.

    `best_ious` [N]: of every box, the largest IoU with an anchor; `matched_share`: of the boxes,
    those of which it reaches the threshold. Share and mean are NaN if there are no boxes.
    """

    matched_share: float
    mean_best_iou: float
    best_ious: Tensor


def match_quality(boxes: Tensor, anchors: Tensor, threshold: float = 0.5) -> MatchQuality:
    """The best IoU of every box with any anchor, in bounded memory.

    Args:
        boxes: Finite boxes [N, 4] xyxy in shares of the image, as a plain resize leaves them.
        anchors: Anchors [A, 4] as (cx, cy, w, h) in shares of the input.
        threshold: IoU from which a box counts as matched, as `matching.match_iou_threshold`.
    """
    corners = center_to_corner(anchors)
    rows = max(1, MAX_IOUS // max(1, len(anchors)))
    parts = [box_iou(chunk, corners).amax(dim=1) for chunk in boxes.split(rows) if len(chunk)]
    best = torch.cat(parts) if parts else boxes.new_empty(0)
    return MatchQuality(*_score(best, threshold), best)


class NetworkBoxes(NamedTuple):
    """A data set's boxes as the network gets them, by a plain resize.

    `shares` [N, 4] xyxy in shares of the image, `areas` [N] in pixels of the stored image; `left`
    boxes are under a pixel at the input and dropped there, in training and evaluation alike.
    """

    shares: Tensor
    areas: Tensor
    left: int


def boxes_at_input(index: DetectionIndex, size: ImageSize) -> tuple[Tensor, Tensor, Tensor]:
    """All boxes of an index, crowds left out, as a plain resize to `size` leaves them.

    Returns:
        Boxes [N, 4] xyxy in shares of the image, their width and height in pixels of the input
        [N, 2], and whether the network gets them [N]: those under a pixel it does not.
    """
    counts = index.box_offsets.diff()
    pixels = index.sizes.flip(1).repeat(1, 2).repeat_interleave(counts, dim=0)
    shares = index.boxes / pixels
    sides = (shares[:, 2:] - shares[:, :2]) * shares.new_tensor([size.width, size.height])
    return shares, sides, (sides >= MIN_BOX_SIDE).all(dim=1)


def network_boxes(index: DetectionIndex, size: ImageSize) -> NetworkBoxes:
    """The boxes of an index that the network gets at an input of `size`."""
    shares, _, kept = boxes_at_input(index, size)
    areas = (index.boxes[:, 2:] - index.boxes[:, :2]).prod(dim=1)
    return NetworkBoxes(shares[kept], areas[kept], int((~kept).sum()))


class AnchorGrid:
    """The best IoU of boxes with the anchors of any shapes, on the cells of a network.

    Of a shape only the anchor of the nearest cell can be the best: the overlap of two intervals
    shrinks with the distance of their centres. So a shape costs one IoU per box, not one per cell.

    Args:
        boxes: Boxes [N, 4] xyxy in shares of the image.
        cells: Of every level.
        image_size: The network's input.
    """

    def __init__(self, boxes: Tensor, cells: Sequence[ImageSize], image_size: ImageSize) -> None:
        centered = corner_to_center(boxes.double())
        self.sides = centered[:, 2:]
        self.distances = [_distances(centered[:, :2], each) for each in cells]
        self.base = boxes.new_tensor(
            [min(image_size) / image_size.width, min(image_size) / image_size.height],
            dtype=torch.float64,
        )
        self._known: dict[tuple[int, float, float], Tensor] = {}

    def best_ious(self, settings: AnchorSettings) -> Tensor:
        """The largest IoU [N] of every box with an anchor; the shapes' own are kept till next."""
        shapes = settings.generator().shapes
        wanted = {(level, *shape) for level, found in enumerate(shapes) for shape in found}
        self._known = {key: self._known.get(key, self._ious(*key)) for key in wanted}
        return torch.stack(list(self._known.values())).amax(dim=0)

    def _ious(self, level: int, scale: float, ratio: float) -> Tensor:
        root = math.sqrt(ratio)
        anchor = self.base * self.base.new_tensor([scale * root, scale / root])
        overlap = (anchor + self.sides) / 2 - self.distances[level]
        overlap = torch.minimum(overlap, torch.minimum(anchor, self.sides)).clamp(min=0)
        shared = overlap.prod(dim=1)
        return shared / (anchor.prod() + self.sides.prod(dim=1) - shared)


def fit_anchors(
    boxes: Tensor,
    current: AnchorSettings,
    cells: Sequence[ImageSize],
    image_size: ImageSize,
    *,
    threshold: float = 0.5,
    ratios: int | None = None,
    progress: Callable[[str], None] = lambda text: None,
) -> AnchorSettings:
    """Scales and ratios of which more boxes reach the threshold, or `current` if none do.

    Begins once with the current settings and once with quantiles of the boxes' scales and
    ratios, and changes one value at a time by ever smaller factors wherever the matched share
    grows, or the mean best IoU at the same share. Nothing is random.

    Args:
        boxes: Boxes [N, 4] xyxy in shares of the image; at least one.
        current: The settings to improve.
        cells: Of every level.
        image_size: The network's input.
        threshold: See `match_quality`.
        ratios: How many aspect ratios to propose; None keeps their number.
        progress: Is told how far it is.
    """
    grid = AnchorGrid(boxes, cells, image_size)
    count = len(current.aspect_ratios) if ratios is None else ratios
    quantiles = _quantile_settings(grid.sides / grid.base, current, count)
    same = count == len(current.aspect_ratios)
    begin = current if same else current._replace(aspect_ratios=quantiles.aspect_ratios)
    best, best_score = current, _score(grid.best_ious(current), threshold)
    for name, start in (("the current anchors", begin), ("quantiles of the boxes", quantiles)):
        found, score = _climb(grid, start, threshold)
        progress(f"from {name}: matched {score[0]:.4f}, mean best IoU {score[1]:.4f}")
        if score > best_score:
            best, best_score = found, score
    return best


def _climb(
    grid: AnchorGrid, settings: AnchorSettings, threshold: float
) -> tuple[AnchorSettings, Score]:
    """Coordinate search: every change that raises the score is kept."""
    score = _score(grid.best_ious(settings), threshold)
    for step in STEPS:
        for _ in range(MAX_ROUNDS):
            before = score
            for place in range(_places(settings)):
                for factor in (step, 1 / step):
                    trial = _changed(settings, place, factor)
                    if trial is None:
                        continue
                    found = _score(grid.best_ious(trial), threshold)
                    if found > score:
                        settings, score = trial, found
            if score == before:
                break
    return settings, score


def _places(settings: AnchorSettings) -> int:
    """Values that can be changed: all scales at once, the small square's, each scale and ratio."""
    return 2 + len(settings.scales) + len(settings.aspect_ratios)


def _changed(settings: AnchorSettings, place: int, factor: float) -> AnchorSettings | None:
    """The settings with one value changed; None if that is not allowed, or changes nothing."""
    scales = [round(scale, 4) for scale in settings.scales]
    ratios = list(settings.aspect_ratios)
    lowest = settings.lowest_scale
    if place <= 1:
        lowest = round(lowest * factor, 4)
    if place == 0:
        scales = [round(scale * factor, 4) for scale in settings.scales]
    elif 2 <= place < 2 + len(scales):
        scales[place - 2] = round(scales[place - 2] * factor, 4)
    elif place >= 2:
        index = place - 2 - len(scales)
        ratios[index] = round(ratios[index] * factor, 4)
    trial = AnchorSettings(tuple(scales), tuple(ratios), settings.reduce_lowest_level, lowest)
    return trial if trial != settings and _allowed(trial) else None


def _allowed(settings: AnchorSettings) -> bool:
    scales = (settings.lowest_scale, *settings.scales)
    steps = [round(following - scale, 4) for scale, following in pairwise(settings.scales)]
    grow = all(step >= LEAST_GROWTH for step in steps)
    inside = all(MIN_SCALE <= scale <= 1 for scale in scales)
    return grow and inside and all(1 / MAX_RATIO <= r <= MAX_RATIO for r in settings.aspect_ratios)


def _quantile_settings(sides: Tensor, current: AnchorSettings, ratios: int) -> AnchorSettings:
    """Scales and ratios in the middle of equal parts of the boxes, by sides [N, 2]."""
    levels = len(current.scales)
    scales = sides.prod(dim=1).sqrt().clamp(MIN_SCALE, 1)
    lowest, *found = [round(value, 4) for value in _middles(scales, levels + 1)]
    # Boxes of one size have equal quantiles, but scales must grow.
    grown: list[float] = []
    for level, value in enumerate(found):
        least = grown[-1] + LEAST_GROWTH if grown else value
        most = 1 - LEAST_GROWTH * (levels - 1 - level)
        grown.append(round(min(max(value, least), most), 4))
    shapes = (sides[:, 0] / sides[:, 1]).clamp(1 / MAX_RATIO, MAX_RATIO)
    proposed = tuple(round(value, 4) for value in _middles(shapes, ratios))
    return AnchorSettings(tuple(grown), proposed, current.reduce_lowest_level, lowest)


def _middles(values: Tensor, parts: int) -> Iterator[float]:
    ordered = values.sort().values
    for part in range(parts):
        yield float(ordered[int((part + 0.5) / parts * len(ordered))])


def _distances(centers: Tensor, cells: ImageSize) -> Tensor:
    """Of centres [N, 2], how far the nearest cell's is, in x and y."""
    grid = centers.new_tensor([cells.width, cells.height])
    nearest = (centers * grid).floor().clamp(min=0).minimum(grid - 1)
    return ((nearest + 0.5) / grid - centers).abs()


def _score(best_ious: Tensor, threshold: float) -> Score:
    matched = (best_ious >= threshold).double().mean()
    return float(matched), float(best_ious.double().mean())
