"""The same picture twice: in one split, or in training and validation both."""

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from mnv2_dense.formats.problems import Level, Problem
from mnv2_dense.inspection.findings import Finding
from mnv2_dense.inspection.pictures import PictureFacts


class Use(NamedTuple):
    """A picture that a split names."""

    split: str
    name: str
    facts: PictureFacts


def duplicate_findings(uses: Iterable[Use]) -> list[Finding]:
    """Groups of pictures that decode to the same pixels, within a split and across splits.

    Decoded pixels are compared, so that a copy with other metadata is found too; a copy that was
    compressed anew is not.
    """
    groups: dict[bytes, list[Use]] = defaultdict(list)
    for use in uses:
        if not use.facts.fault:
            groups[use.facts.pixels_hash].append(use)
    return [_finding(group) for group in groups.values() if len(group) > 1]


def _finding(group: list[Use]) -> Finding:
    place = " = ".join(f"{use.split} {use.name}" for use in group) + f" ({_same(group)})"
    splits = {use.split for use in group}
    if len(splits) > 1:
        title = "the same picture in training and validation, so scores are too good:"
        problem = Problem("leaked_picture", Level.PROBLEM, title, place, "; remove one of the two")
    else:
        title = "the same picture more than once in a split:"
        problem = Problem("duplicate_picture", Level.PROBLEM, title, place, "; remove the copies")
    return Finding(problem, tuple(use.facts.path for use in group[:2]))


def _same(group: list[Use]) -> str:
    if len({use.facts.path for use in group}) == 1:
        return "one file, named twice"
    equal = len({use.facts.bytes_hash for use in group}) == 1
    return "equal files" if equal else "equal pixels, other file"
