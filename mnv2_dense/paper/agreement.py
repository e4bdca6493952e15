"""Whether a figure printed in the paper is one of ours, and by which convention."""

import re
from collections.abc import Mapping
from typing import NamedTuple

UNITS = {"": 1, "K": 10**3, "M": 10**6, "B": 10**9}
NEAR = 0.004
"""Deviation up to which a figure counts as met: what pooling, additions and other small
operations amount to, which the counts here leave out."""


class Verdict(NamedTuple):
    """How a printed figure compares with ours.

    agrees: Whether some convention gives the printed figure.
    convention: Name of that convention, or of the one that comes nearest.
    how: `rounded`, `cut` (digits dropped), `near` (within 0.4 %) or `differs`.
    deviation: Ours by that convention against the printed figure, as a share of it.
    """

    agrees: bool
    convention: str
    how: str
    deviation: float


def compare(printed: str, ours: Mapping[str, int]) -> Verdict:
    """The first convention that gives the printed digits, else the nearest one.

    The authors round some figures and cut others, so both are tried.

    Args:
        printed: As the paper has it, such as `3.4M` or `941.9B`.
        ours: Counts by the name of their convention, the usual one first.

    Raises:
        ValueError: `printed` is no such figure.
    """
    value, step = parse(printed)
    for convention, count in ours.items():
        deviation = count / value - 1
        if abs(count - value) <= step / 2:
            return Verdict(True, convention, "rounded", deviation)
        if value <= count < value + step:
            return Verdict(True, convention, "cut", deviation)
    nearest = min(ours, key=lambda convention: abs(ours[convention] - value))
    deviation = ours[nearest] / value - 1
    near = abs(deviation) <= NEAR
    return Verdict(near, nearest, "near" if near else "differs", deviation)


def parse(printed: str) -> tuple[float, float]:
    """A printed figure and the worth of its last digit.

    Raises:
        ValueError: It is not a number with at most one of the units K, M and B.
    """
    found = re.fullmatch(r"(\d+)(?:\.(\d+))?([KMB]?)", printed)
    if found is None:
        raise ValueError(f"no figure of the paper: {printed!r}")
    whole, decimals, unit = found[1], found[2] or "", found[3]
    step = UNITS[unit] / 10 ** len(decimals)
    return int(whole + decimals) * step, step
