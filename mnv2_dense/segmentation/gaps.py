"""Values that no training mask holds, below others that some do."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from mnv2_dense.ops.texts import list_first


class Gap(NamedTuple):
    """Values that no mask holds, and those without a gap between them that follow."""

    missing: range
    above: range

    def __str__(self) -> str:
        """`21 to 76`."""
        return describe_values(self.missing)


def find_gaps(values: Iterable[int]) -> list[Gap]:
    """The gaps between values that count from 0 up."""
    gaps: list[Gap] = []
    expected = 0
    for value in sorted(set(values)):
        if value > expected:
            gaps.append(Gap(range(expected, value), range(value, value)))
        if gaps:
            missing, above = gaps[-1]
            gaps[-1] = Gap(missing, range(above.start, value + 1))
        expected = value + 1
    return gaps


def describe_gaps(masks: Mapping[int, Sequence[Path]], ignore_index: int) -> str:
    """A line about classes that were counted although some between them are in no mask.

    Args:
        masks: By value, the training masks that hold it.
        ignore_index: Value of void.

    Returns:
        The line, empty if there is no gap.
    """
    values = set(masks) - {ignore_index}
    gaps = find_gaps(values)
    if not gaps:
        return ""
    missing, above = gaps[-1]
    holders = list(dict.fromkeys(path for value in above for path in masks.get(value, ())))
    count = f"{len(holders)} mask{'s' * (len(holders) != 1)}"
    lower = missing.start
    mistake = f", and set data.num_classes={lower}" if lower > 1 else ""
    are = "are" if len(above) > 1 else "is"
    return (
        f"classes counted from the masks: {above.stop}, but no mask holds "
        f"{list_first(gaps)}; {describe_values(above)} {are} in {count}: "
        f"{list_first(holders)}; if that is a mistake, correct the masks{mistake}; if not, "
        f"data.num_classes={above.stop} says so"
    )


def describe_values(values: range) -> str:
    """`21 to 76`, or `7`."""
    first, last = values[0], values[-1]
    return str(first) if first == last else f"{first} to {last}"
