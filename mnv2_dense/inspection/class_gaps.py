"""Values of masks that are probably no classes, where the masks alone say how many there are."""

from collections.abc import Sequence
from pathlib import Path

from mnv2_dense.formats.problems import Level, Problem
from mnv2_dense.inspection.findings import Finding, percent
from mnv2_dense.inspection.masks import MaskFacts
from mnv2_dense.segmentation.gaps import Gap, describe_values, find_gaps
from mnv2_dense.structures import IGNORE_INDEX

FEW = 5
FEW_SHARE = 0.05
"""Masks with values above a gap are named if there are so few of them, or so small a share."""


def training_gaps(masks: Sequence[MaskFacts]) -> list[Gap]:
    """The gaps between the values of the training masks."""
    return find_gaps(value for facts in masks for value in facts.pixels if value != IGNORE_INDEX)


def gap_findings(
    gaps: Sequence[Gap], pictures: Sequence[Path], masks: Sequence[MaskFacts]
) -> list[Finding]:
    """The masks with values above a gap; many of them are said in one.

    Args:
        gaps: Those of the training masks.
        pictures: The training pictures.
        masks: Their masks.
    """
    found: list[Finding] = []
    for gap in gaps:
        title = f"no training mask holds {gap}, so values above may be no classes:"
        remedy = "; correct these masks, or give data.num_classes if the values are right"
        holders = [
            (picture, facts, place)
            for picture, facts in zip(pictures, masks, strict=True)
            if (place := _place(facts, gap))
        ]
        if len(holders) > max(FEW, FEW_SHARE * len(masks)):
            place = f"{describe_values(gap.above)} in {percent(len(holders), len(masks))} masks"
            found.append(Finding(Problem("class_gap", Level.PROBLEM, title, place, remedy)))
            continue
        for picture, facts, place in holders:
            problem = Problem("class_gap", Level.PROBLEM, title, place, remedy)
            found.append(Finding(problem, (picture,), (), (facts.path,)))
    return found


def _place(facts: MaskFacts, gap: Gap) -> str:
    held = [
        f"{value} at {count:,} pixel{'s' * (count != 1)}"
        for value, count in facts.pixels.items()
        if value in gap.above
    ]
    return f"{facts.path} ({', '.join(held)})" if held else ""
