from typing import Any

import numpy as np
import pytest

from mnv2_dense.importing import arithmetic
from mnv2_dense.importing.arithmetic import compute
from mnv2_dense.importing.graph import Node

TABLE = np.arange(6, dtype=np.float32).reshape(2, 3)


def make(op: str, *values: Any, **attributes: Any) -> np.ndarray | None:
    names = tuple(f"v{place}" for place in range(len(values)))
    given = [np.asarray(value) for value in values]
    return compute(Node(op, op, names, (op,), attributes), given)


@pytest.mark.parametrize(
    ("op", "values", "attributes", "wanted"),
    [
        ("identity", [TABLE], {}, TABLE),
        ("enter", [TABLE], {}, TABLE),
        ("add", [1, 2, 3], {}, 6),
        ("sub", [TABLE, 1], {}, TABLE - 1),
        ("mul", [TABLE, TABLE], {}, TABLE**2),
        ("div", [TABLE, np.float32(2)], {}, TABLE / 2),
        ("minimum", [4, [1, 5]], {}, [1, 4]),
        ("maximum", [4, [1, 5]], {}, [4, 5]),
        ("rsqrt", [np.float32(4)], {}, 0.5),
        ("sqrt", [np.float32(4)], {}, 2),
        ("cast", [3], {}, np.float32(3)),
        ("shape", [TABLE], {}, [2, 3]),
        ("rank", [TABLE], {}, 2),
        ("size", [TABLE], {}, 6),
        ("range", [1, 7, 2], {}, [1, 3, 5]),
        ("fill", [[2, 1], 7], {}, [[7], [7]]),
        ("tile", [[1, 2], [2]], {}, [1, 2, 1, 2]),
        ("pack", [[1, 2], [3, 4]], {"axis": 1}, [[1, 3], [2, 4]]),
        ("pack", [1, 2], {}, [1, 2]),
        ("concat", [[[1]], [[2]]], {"axis": 1}, [[1, 2]]),
        ("slice", [TABLE, [0, 1], [-1, 2]], {}, TABLE[:, 1:]),
        ("slice", [TABLE, [1, 0], [1, 2]], {}, TABLE[1:2, :2]),
        ("strided_slice", [TABLE, [0, 0], [2, 3], [1, 2]], {}, TABLE[:, ::2]),
        ("strided_slice", [TABLE, [1], [2], [1]], {"shrink_axis_mask": 1}, TABLE[1]),
        ("strided_slice", [TABLE, [1, 1], [0, 0], [1, 1]], {"end_mask": 3}, TABLE[1:, 1:]),
        ("strided_slice", [TABLE, [1, 1], [2, 2], [1, 1]], {"begin_mask": 1}, TABLE[:2, 1:2]),
        ("squeeze", [[[1, 2]]], {"squeeze_dims": (0,)}, [1, 2]),
        ("squeeze", [[[1]]], {}, 1),
        ("expand_dims", [[1, 2], 0], {}, [[1, 2]]),
        ("reshape", [TABLE, [3, -1]], {}, TABLE.reshape(3, 2)),
        ("transpose", [TABLE, [1, 0]], {}, TABLE.T),
    ],
)
def test_operations(op: str, values: list[Any], attributes: dict[str, Any], wanted: Any) -> None:
    found = make(op, *values, **attributes)
    assert found is not None
    np.testing.assert_array_equal(found, wanted)
    assert found.shape == np.shape(wanted)


@pytest.mark.parametrize(
    ("op", "values", "attributes"),
    [
        ("tanh", [TABLE], {}),
        ("add", [], {}),
        ("add", [TABLE, [1, 2]], {}),
        ("div", [4, 3], {}),
        ("reshape", [TABLE, [4, 2]], {}),
        ("reshape", [TABLE, [2.0, 3.0]], {}),
        ("transpose", [TABLE, [0, 0]], {}),
        ("concat", [TABLE, TABLE], {}),
        ("concat", [TABLE, TABLE[0]], {"axis": 0}),
        ("slice", [TABLE, [0], [1, 1]], {}),
        ("strided_slice", [TABLE, [0], [1], [1]], {"new_axis_mask": 1}),
        ("strided_slice", [TABLE, [0], [1], [0]], {}),
        ("strided_slice", [TABLE, [9], [1], [1]], {"shrink_axis_mask": 1}),
        ("range", [0, 5, 0], {}),
        ("fill", [[-1], 0], {}),
        ("cast", [True], {}),
        ("cast", [np.array(b"x", object)], {}),
    ],
)
def test_what_is_unknown_or_does_not_fit_is_left_alone(
    op: str, values: list[Any], attributes: dict[str, Any]
) -> None:
    assert make(op, *values, **attributes) is None


@pytest.mark.parametrize(
    ("op", "values"),
    [
        ("fill", [[2**20, 2**20], 1.0]),
        ("fill", [[2**62, 2**62], 1.0]),
        ("tile", [[1.0, 2.0], [2**40]]),
        ("range", [0, 2**60, 1]),
        ("range", [0.0, 1.0, 1e-300]),
        ("mul", [np.ones((2**12, 1)), np.ones((1, 2**12))]),
        ("concat", [np.ones(2**20)] * 9),
        ("pack", [np.ones(2**20)] * 9),
    ],
)
def test_nothing_large_is_made(op: str, values: list[Any]) -> None:
    assert make(op, *values, axis=0) is None


def test_large_constants_may_be_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arithmetic, "MAX_ELEMENTS", 4)
    assert make("mul", TABLE, np.float32(2)) is not None
    assert make("fill", [5], 1) is None


def test_endless_work_is_not_done() -> None:
    assert make("fill", np.full(2**20, 2, np.int64), np.int32(0)) is None
    many = [np.zeros(2**20, np.float32)] * 100
    assert make("add", *many) is None
    assert make("add", np.array([b"a"], object), np.array([b"a"], object)) is None
    assert make("mul", np.array([b"a"], object), np.int64(2**40)) is None
