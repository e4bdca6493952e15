from pathlib import Path

import pytest

from mnv2_dense.segmentation.gaps import describe_gaps, find_gaps

A, B = Path("a.png"), Path("b.png")


@pytest.mark.parametrize(
    ("values", "gaps"),
    [
        ([], []),
        ([2, 0, 1], []),
        ([0, 1, 77], [("2 to 76", [77])]),
        ([0, 2, 3, 6], [("1", [2, 3]), ("4 to 5", [6])]),
        ([1, 2], [("0", [1, 2])]),
    ],
)
def test_gaps_and_what_follows(values: list[int], gaps: list[tuple[str, list[int]]]) -> None:
    assert [(str(gap), [*gap.above]) for gap in find_gaps(values)] == gaps


def test_a_line_names_the_masks_above_the_last_gap() -> None:
    masks = {0: [A, B], 1: [A], 2: [B], 7: [B], 255: [A]}
    assert describe_gaps(masks, 255) == (
        "classes counted from the masks: 8, but no mask holds 3 to 6; 7 is in 1 mask: b.png; if "
        "that is a mistake, correct the masks, and set data.num_classes=3; if not, "
        "data.num_classes=8 says so"
    )


def test_several_masks_and_gaps() -> None:
    line = describe_gaps({0: [A], 3: [A, B], 4: [B]}, 255)
    assert "no mask holds 1 to 2; 3 to 4 are in 2 masks: a.png, b.png;" in line
    assert "data.num_classes=1" not in line


def test_without_gaps_nothing_is_said() -> None:
    assert describe_gaps({0: [A], 1: [A], 255: [A]}, 255) == ""
