from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import interpreter as litert

from mnv2_dense.errors import UserError
from mnv2_dense.importing.tflite import read_tflite, tensor_indices
from tests.importing.flatbuffers_models import ModelWriter
from tests.importing.released_files import CLASSIFIER, DEEPLAB, DEEPLAB_FLOAT, DEEPLAB_HALF, SSDLITE
from tests.importing.small_models import read_constant


@pytest.mark.parametrize("kind", ["uint8", "int8", "int16", "int32"])
def test_one_step_for_a_whole_tensor(kind: str, path: Path) -> None:
    low, high = np.iinfo(kind).min, np.iinfo(kind).max
    stored = np.array([[low, 0, 5], [7, 100, high]], kind)
    graph = read_constant(path, stored, kind.upper(), scale=[0.003], zero_point=[5])
    exact = (stored.astype(np.float64) - 5) * np.float64(np.float32(0.003))
    values = graph.constants["constant"]
    assert values.dtype == np.float32
    np.testing.assert_array_equal(values, exact.astype(np.float32))
    assert graph.quantized


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("zero_points", ["none", "one", "all"])
def test_a_step_per_channel(axis: int, zero_points: str, path: Path) -> None:
    shape = (3, 4, 5)
    stored = np.random.default_rng(0).integers(-128, 128, shape).astype(np.int8)
    scale = np.linspace(0.1, 2, shape[axis]).astype(np.float32)
    zeros = {"none": np.zeros(0, int), "one": np.array([3]), "all": np.arange(shape[axis])}[
        zero_points
    ]
    graph = read_constant(
        path, stored, "INT8", scale=scale.tolist(), zero_point=zeros.tolist(), axis=axis
    )
    whole = zeros if len(zeros) else np.zeros(1)
    moved = (np.moveaxis(stored, axis, -1) - whole.astype(np.float32)) * scale
    np.testing.assert_array_equal(graph.constants["constant"], np.moveaxis(moved, -1, axis))


@pytest.mark.parametrize(
    ("dtype", "kind"), [("int8", "INT8"), ("int32", "INT32"), ("int64", "INT64"), ("bool", "BOOL")]
)
def test_integers_without_steps_stay(dtype: str, kind: str, path: Path) -> None:
    values = np.array([0, 1, 1], dtype)
    graph = read_constant(path, values, kind)
    assert graph.constants["constant"].dtype == values.dtype
    np.testing.assert_array_equal(graph.constants["constant"], values)
    assert not graph.quantized


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_floats_become_single_precision_and_own_their_values(dtype: type, path: Path) -> None:
    values = np.array([[0.1, -3], [65504, 1e-7]], dtype)
    read = read_constant(path, values, f"FLOAT{values.itemsize * 8}").constants["constant"]
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, values.astype(np.float32))
    assert read.flags.writeable


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_broken_numbers_are_refused(value: float, path: Path) -> None:
    with pytest.raises(UserError, match="constant: holds NaN or infinite values"):
        read_constant(path, np.array([1, value], np.float32), "FLOAT32")
    with pytest.raises(UserError, match="constant"):
        read_constant(path, np.array([0, 1], np.int8), "INT8", scale=[value])


@pytest.mark.parametrize("kind", ["INT4", "STRING", "FLOAT64", "BFLOAT16"])
def test_other_types_are_refused(kind: str, path: Path) -> None:
    with pytest.raises(UserError, match=f"constant is of type {kind.lower()}; allowed: float32"):
        read_constant(path, np.zeros(8, np.uint8), kind)


@pytest.mark.parametrize(
    ("shape", "steps", "message"),
    [
        ((7,), {}, "constant has 6 bytes for shape"),
        ((-2, -3), {}, "constant has 6 bytes for shape"),
        ((1,) * 9, {}, "9 dimensions; at most 8 are read"),
        ((2, 3), {"scale": [1.0] * 3}, "constant has 3 steps for shape"),
        ((2, 3), {"scale": [1.0] * 2, "axis": 2}, "constant has 2 steps for shape"),
        ((2, 3), {"scale": [1.0], "zero_point": [1, 2]}, "1 steps and 2 zero points"),
        ((2, 3), {"scale": [-1.0]}, "negative steps"),
    ],
)
def test_contradictions_are_refused(
    shape: tuple[int, ...], steps: dict[str, Any], message: str, path: Path
) -> None:
    with pytest.raises(UserError, match=f"not a TFLite file, or .*: .*{message}"):
        read_constant(path, np.zeros(6, np.int8), "INT8", shape, **steps)


def test_a_constant_that_is_listed_often_is_refused(path: Path) -> None:
    writer = ModelWriter()
    data = writer.tensor("data")
    weights = [writer.tensor(f"w{i}", (1000,), np.zeros(1000, np.int8), "INT8") for i in range(90)]
    for index in weights:
        writer.part.tensors[index].buffer = 1
    del writer.model.buffers[2:]
    writer.operator("PACK", [data, *weights], [writer.tensor("made")])
    with pytest.raises(UserError, match="its tensors are more than 4 times as large as the file"):
        read_tflite(writer.write(path))


@pytest.mark.parametrize("name", [DEEPLAB_FLOAT, DEEPLAB, DEEPLAB_HALF, CLASSIFIER, SSDLITE])
def test_constants_are_those_of_the_runtime(name: str, shared: Path) -> None:
    path = shared / "data/weights" / name
    graph, indices = read_tflite(path), tensor_indices(path)
    runtime = litert.Interpreter(
        str(path),
        experimental_op_resolver_type=litert.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    runtime.allocate_tensors()
    details = {detail["index"]: detail for detail in runtime.get_tensor_details()}
    assert len(graph.constants) > 100
    for tensor, values in graph.constants.items():
        detail = details[indices[tensor]]
        assert tensor == detail["name"]
        stored = runtime.get_tensor(indices[tensor])
        steps = detail["quantization_parameters"]
        if len(steps["scales"]):
            axis = steps["quantized_dimension"]
            moved = np.moveaxis(stored, axis, -1).astype(np.float64)
            scales = steps["scales"].astype(np.float64)
            exact = np.moveaxis((moved - steps["zero_points"]) * scales, -1, axis)
            stored = exact.astype(np.float32)
        assert values.dtype == stored.dtype
        np.testing.assert_array_equal(values, stored, err_msg=tensor)
