"""How the anchors of a config match the boxes of its data."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from mnv2_dense.builders.detection import trace_levels
from mnv2_dense.builders.parts import input_size
from mnv2_dense.config.schema import DetectionConfig
from mnv2_dense.detection.fitting import boxes_at_input, match_quality
from mnv2_dense.detection.index import DetectionIndex
from mnv2_dense.formats.problems import Level, Problem
from mnv2_dense.inspection.findings import Box, Finding, name_box, percent
from mnv2_dense.inspection.histograms import BOX_SIZES, IOUS, RATIOS, histogram
from mnv2_dense.inspection.report import Histogram
from mnv2_dense.structures import ImageSize

MATCH_THRESHOLD = 0.5
SMALLEST_SHOWN = 3
"""Unmatched boxes that are drawn, of each split."""


class MatchedBoxes(NamedTuple):
    """A split's boxes at the network's input, and how anchors match them.

    Attributes:
        positions: Of each in the index [N]; boxes under a pixel at the input are left out.
        sides: Width and height in pixels of the input [N, 2].
        best_ious: Largest IoU with an anchor [N].
    """

    positions: Tensor
    sides: Tensor
    best_ious: Tensor


def config_anchors(config: DetectionConfig) -> Tensor:
    """The anchors [A, 4] (cx, cy, w, h) of the config's network, in shares of its input."""
    cells, generator = trace_levels(config)
    return generator(cells, input_size(config), torch.device("cpu"))


def match_boxes(index: DetectionIndex, anchors: Tensor, size: ImageSize) -> MatchedBoxes:
    """The boxes of a split at the network's input, by a plain resize."""
    shares, sides, kept = boxes_at_input(index, size)
    positions = kept.nonzero()[:, 0]
    quality = match_quality(shares[positions], anchors, MATCH_THRESHOLD)
    return MatchedBoxes(positions, sides[positions], quality.best_ious)


def unmatched_findings(split: str, index: DetectionIndex, found: MatchedBoxes) -> list[Finding]:
    """One note of how many boxes no anchor matches, with the smallest of them as pictures."""
    findings = list(_lost_findings(split, index, found))
    unmatched = (found.best_ious < MATCH_THRESHOLD).nonzero()[:, 0]
    if not len(unmatched):
        return findings
    title = f"{split}: boxes that no anchor matches at an IoU of {MATCH_THRESHOLD:g}:"
    place = percent(len(unmatched), len(found.best_ious))
    remedy = "; mnv2-dense fit_anchors proposes anchors for these data"
    problem = Problem("unmatched_box", Level.NOTE, title, place, remedy)
    areas = found.sides[unmatched].prod(dim=1)
    smallest = unmatched[areas.argsort()[:SMALLEST_SHOWN]]
    for place in smallest.tolist():
        path, box = _box_at(index, int(found.positions[place]))
        caption = f"{name_box(path, box)}: best IoU {float(found.best_ious[place]):.2f}"
        findings.append(Finding(problem, (path,), (box,), caption=caption))
    return findings


def _lost_findings(split: str, index: DetectionIndex, found: MatchedBoxes) -> Iterator[Finding]:
    lost = torch.ones(len(index.boxes), dtype=torch.bool)
    lost[found.positions] = False
    share = percent(int(lost.sum()), len(lost))
    title = f"{split}: {share} boxes under a pixel at the network's input, dropped there:"
    remedy = "; a larger input.height and input.width keeps them"
    for position in lost.nonzero()[:, 0].tolist():
        path, box = _box_at(index, position)
        problem = Problem("lost_box", Level.NOTE, title, name_box(path, box), remedy)
        yield Finding(problem, (path,), (box,))


def _box_at(index: DetectionIndex, position: int) -> tuple[Path, Box]:
    """Picture and corners of a box of the index."""
    image = int(torch.searchsorted(index.box_offsets, position, right=True)) - 1
    left, top, right, bottom = index.boxes[position].tolist()
    return index.path(image), (left, top, right, bottom)


def box_histograms(matched: Mapping[str, MatchedBoxes]) -> Iterator[Histogram]:
    """Sizes, aspect ratios and best IoUs of the boxes of each split."""
    sides = {split: found.sides.double().numpy() for split, found in matched.items()}
    sizes = {split: each.prod(axis=1) ** 0.5 for split, each in sides.items()}
    title = "Box size (square root of the area, pixels of the input)"
    yield histogram(title, BOX_SIZES, sizes)
    ratios = {split: each[:, 0] / each[:, 1] for split, each in sides.items()}
    yield histogram("Aspect ratio (width / height at the input)", RATIOS, ratios)
    ious = {split: found.best_ious.double().numpy() for split, found in matched.items()}
    yield histogram("Best IoU of each box with an anchor", IOUS, ious)
