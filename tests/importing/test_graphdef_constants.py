from typing import Any

import numpy as np
import pytest

from mnv2_dense.errors import UserError
from mnv2_dense.importing import graphdef_constants
from mnv2_dense.importing.graphdef import graph_from_message
from tests.importing.small_graphs import conv_graph, refusal, small

ONE_TO_THREE = np.array([1, 2, 3])


def constant(dtype: int, sides: list[int], **fields: Any) -> np.ndarray:
    """As it is read, of a tensor message with these fields."""
    builder = small()
    node = builder.message.node.add(name="c", op="Const")
    tensor = node.attr["value"].tensor
    tensor.dtype = dtype
    for side in sides:
        tensor.tensor_shape.dim.add(size=side)
    for name, value in fields.items():
        if isinstance(value, list):
            getattr(tensor, name).extend(value)
        else:
            setattr(tensor, name, value)
    builder.node("Pack", "y", ["x", "c"])
    return graph_from_message(builder.message, "a").constants["c"]


@pytest.mark.parametrize(
    ("dtype", "fields", "wanted", "numpy"),
    [
        (1, {"float_val": [1.5, 2.5, 3.5]}, [1.5, 2.5, 3.5], "float32"),
        (1, {"float_val": [1.5, 2.5]}, [1.5, 2.5, 2.5], "float32"),
        (1, {}, [0, 0, 0], "float32"),
        (1, {"tensor_content": ONE_TO_THREE.astype("<f4").tobytes()}, [1, 2, 3], "float32"),
        (2, {"double_val": [0.5]}, [0.5] * 3, "float32"),
        (2, {"tensor_content": ONE_TO_THREE.astype("<f8").tobytes()}, [1, 2, 3], "float32"),
        (19, {"half_val": [0x3C00, 0x4000]}, [1, 2, 2], "float32"),
        (19, {"tensor_content": ONE_TO_THREE.astype("<f2").tobytes()}, [1, 2, 3], "float32"),
        (14, {"half_val": [0x3F80, 0x4000]}, [1, 2, 2], "float32"),
        (14, {"tensor_content": b"\x80\x3f\x00\x40\x40\x40"}, [1, 2, 3], "float32"),
        (3, {"int_val": [7, -1]}, [7, -1, -1], "int32"),
        (3, {"tensor_content": ONE_TO_THREE.astype("<i4").tobytes()}, [1, 2, 3], "int32"),
        (4, {"int_val": [255]}, [255] * 3, "uint8"),
        (9, {"int64_val": [2**40]}, [2**40] * 3, "int64"),
        (10, {"bool_val": [True, False]}, [True, False, False], "bool"),
        (7, {"string_val": [b"a", b"b"]}, [b"a", b"b", b"b"], "object"),
    ],
)
def test_constants_of_every_kind(
    dtype: int, fields: dict[str, Any], wanted: list[Any], numpy: str
) -> None:
    found = constant(dtype, [3], **fields)
    assert found.dtype.name == numpy
    assert found.tolist() == wanted
    found[0] = found[1]  # a copy, to be written to


def test_shapes_of_constants() -> None:
    assert constant(1, [], float_val=[2.5]).shape == ()
    assert constant(1, [0, 4]).shape == (0, 4)
    assert constant(1, [2, 1], float_val=[2.5, 3.5]).tolist() == [[2.5], [3.5]]


@pytest.mark.parametrize(
    ("dtype", "sides", "fields", "message"),
    [
        (1, [2], {"float_val": [1.0, 2.0, 3.0]}, "3 values, where the shape 2 has 2"),
        (1, [2], {"tensor_content": b"\0" * 4}, "4 bytes, where the shape 2 has 8"),
        (1, [2**40], {"tensor_content": b"\0" * 4}, "4 bytes"),
        (1, [-1], {}, "no proper shape"),
        (1, [1] * 9, {}, "no proper shape"),
        (1, [10**6, 10**6], {"float_val": [1.0]}, "more elements than there are"),
        (1, [2**62] * 8, {}, "more elements than there are"),
        (1, [0, 2**62, 2**62], {}, "c: "),
        (1, [2], {"float_val": [1.0, float("nan")]}, "c: holds NaN"),
        (2, [2], {"double_val": [1.0, 1e300]}, "c: holds NaN or infinite"),
        (19, [2], {"half_val": [0x3C00, -1]}, "range"),
        (4, [2], {"int_val": [256]}, "outside of the range of uint8"),
        (8, [2], {}, "type 8"),
        (99, [2], {}, "type 99"),
    ],
)
def test_damaged_constants_are_refused(
    dtype: int, sides: list[int], fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=r"^a: .*c") as caught:
        constant(dtype, sides, **fields)
    assert message in str(caught.value)


def test_a_single_value_may_be_infinite() -> None:
    assert constant(1, [], float_val=[float("-inf")]) == -np.inf


def test_many_constants_of_one_value_each_do_not_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphdef_constants, "MAX_REPEATED", 1000)
    assert constant(1, [1000], float_val=[1.0]).sum() == 1000
    builder = conv_graph()
    for name in "ab":
        node = builder.message.node.add(name=name, op="Const")
        node.attr["value"].tensor.dtype = 1
        node.attr["value"].tensor.tensor_shape.dim.add(size=501)
    assert "b and others claim more elements than there are; at most 1000" in refusal(builder)
