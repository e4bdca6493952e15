import numpy as np
import pytest

from mnv2_dense.importing.constants import Constant
from mnv2_dense.importing.graph import Node
from mnv2_dense.importing.slices import cut
from mnv2_dense.importing.steps import Operation

COUNT = 5


def step_of(op: str, *parts: list[int] | None, **masks: int) -> Operation:
    given = {place: part for place, part in enumerate(parts, start=1) if part is not None}
    constants = {place: Constant(np.array(part), frozenset()) for place, part in given.items()}
    return Operation(Node(op, "part", (), (), masks), (), constants)


@pytest.mark.parametrize(
    ("begin", "size", "wanted"),
    [
        ([0, 1], [-1, -1], (1, COUNT)),
        ([0, 1], [-1, 2], (1, 3)),
        ([0, -1], [-1, 1], None),
        ([0, 1], None, None),
        (None, [-1, -1], None),
        ([], [], None),
    ],
)
def test_slices(
    begin: list[int] | None, size: list[int] | None, wanted: tuple[int, int] | None
) -> None:
    assert cut(step_of("slice", begin, size), COUNT) == wanted


@pytest.mark.parametrize(
    ("masks", "wanted"),
    [
        ({}, (1, 3)),
        ({"end_mask": 2}, (1, COUNT)),
        ({"end_mask": 1}, (1, 3)),
        ({"begin_mask": 2}, (0, 3)),
        ({"shrink_axis_mask": 2}, None),
        ({"new_axis_mask": 2}, None),
        ({"ellipsis_mask": 1}, (1, 3)),
    ],
)
def test_strided_slices(masks: dict[str, int], wanted: tuple[int, int] | None) -> None:
    assert cut(step_of("strided_slice", [0, 1], [0, 3], [1, 1], **masks), COUNT) == wanted


def test_strides_and_unknown_ends() -> None:
    assert cut(step_of("strided_slice", [0, 1], [0, 3], [1, 2]), COUNT) is None
    assert cut(step_of("strided_slice", [0, 1], None, [1, 1]), COUNT) is None
    assert cut(step_of("strided_slice", [0, 1], None, [1, 1], end_mask=2), COUNT) == (1, COUNT)
