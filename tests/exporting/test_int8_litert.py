import logging
import warnings
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from mnv2_dense.exporting.int8_litert import _join, _quantize, levels
from mnv2_dense.prediction.engine import IMAGES
from mnv2_dense.prediction.litert_engine import LiteRtEngine
from tests.exporting.int8_files import check_nearly_same, write_int8
from tests.exporting.litert_graphs import constant_of, content_of, run, tables
from tests.exporting.small_networks import manifest
from tests.importing.flatbuffers_models import ModelWriter, convolution

SIDE, CHANNELS = 8, 4
BLOCK = "InvertedResidual_1/sum"
FULL = np.random.default_rng(0).normal(size=(CHANNELS, 1, 1, 3)).astype(np.float32)
DEPTHWISE = np.random.default_rng(1).normal(size=(1, 3, 3, CHANNELS)).astype(np.float32)
FULL[1] *= 1000
DEPTHWISE[..., 2] *= 1e-3
PICTURES = np.random.default_rng(2).integers(0, 256, (6, SIDE, SIDE, 3), np.uint8)


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A full and a depthwise layer, the sum of a block, and a sum that decodes."""
    writer = ModelWriter()
    images = writer.tensor(IMAGES, (1, SIDE, SIDE, 3), kind="UINT8")
    real, scaled = (writer.tensor(name, (1, SIDE, SIDE, 3)) for name in ("real", "scaled"))
    writer.operator("CAST", [images], [real], schema.CastOptionsT())
    factor = writer.tensor("factor", (1,), np.full(1, 1 / 64, np.float32))
    writer.operator("MUL", [real, factor], [scaled], schema.MulOptionsT())
    shape = (1, SIDE, SIDE, CHANNELS)
    weight, kernel = (
        writer.tensor(name, values.shape, values)
        for name, values in (("full/weight", FULL), ("depthwise/weight", DEPTHWISE))
    )
    bias = writer.tensor("bias", (CHANNELS,), np.zeros(CHANNELS, np.float32))
    maps, filtered, total, decoded = (
        writer.tensor(name, shape) for name in ("full", "depthwise", BLOCK, "decoded")
    )
    writer.operator("CONV_2D", [scaled, weight, bias], [maps], convolution())
    options = schema.DepthwiseConv2DOptionsT()
    options.strideH = options.strideW = options.depthMultiplier = 1
    writer.operator("DEPTHWISE_CONV_2D", [maps, kernel, bias], [filtered], options)
    writer.operator("ADD", [maps, filtered], [total], schema.AddOptionsT())
    one = writer.tensor("one", (1,), np.ones(1, np.float32))
    writer.operator("ADD", [total, one], [decoded], schema.AddOptionsT())
    return content_of(
        writer, tmp_path_factory.mktemp("int8"), {IMAGES: images}, {"decoded": decoded}
    )


@pytest.fixture(scope="module")
def quantised(given: bytes) -> bytes:
    return _quantize(given, PICTURES)


def operators(model: Any, kind: str) -> list[Any]:
    number = getattr(schema.BuiltinOperator, kind)
    return [
        each
        for each in model.subgraphs[0].operators
        if model.operatorCodes[each.opcodeIndex].builtinCode == number
    ]


@pytest.mark.parametrize(
    ("kind", "weights", "axis"), [("CONV_2D", FULL, 0), ("DEPTHWISE_CONV_2D", DEPTHWISE, 3)]
)
def test_every_channel_has_a_scale_of_its_own_however_large_another_is(
    quantised: bytes, kind: str, weights: NDArray[np.float32], axis: int
) -> None:
    model = tables(quantised)
    (operator,) = operators(model, kind)
    tensor = model.subgraphs[0].tensors[operator.inputs[1]]
    assert tensor.type == schema.TensorType.INT8
    assert tensor.quantization.quantizedDimension == axis
    largest = np.abs(weights).max(tuple(each for each in range(4) if each != axis), keepdims=True)
    scales = largest / 127
    np.testing.assert_allclose(tensor.quantization.scale, scales.flatten(), rtol=1e-6)
    assert not np.any(tensor.quantization.zeroPoint)
    expected = np.rint(weights / scales)
    np.testing.assert_array_equal(constant_of(model, tensor, np.int8), expected)


def test_what_the_network_adds_is_of_8_bits_and_what_decodes_is_not(quantised: bytes) -> None:
    model = tables(quantised)
    tensors = model.subgraphs[0].tensors
    kinds = [
        {tensors[place].type for place in (*each.inputs, *each.outputs)}
        for each in operators(model, "ADD")
    ]
    assert kinds == [{schema.TensorType.INT8}, {schema.TensorType.FLOAT32}]


def test_results_are_nearly_those_of_the_float_file(given: bytes, quantised: bytes) -> None:
    exact, rough = (run(each, images=PICTURES[:1])["decoded"] for each in (given, quantised))
    error = np.sqrt(np.square(exact - rough).mean())
    assert 0 < error < 0.03 * exact.std()


def test_constants_that_lie_behind_the_tables_are_brought_inside(given: bytes) -> None:
    outside = with_constants_behind(given)
    assert all(buffer.data is None for buffer in tables(outside).buffers)
    joined = _join(outside)
    assert not any(buffer.offset or buffer.size for buffer in tables(joined).buffers)
    before, after = (run(each, images=PICTURES[:1])["decoded"] for each in (given, joined))
    np.testing.assert_array_equal(before, after)


def with_constants_behind(content: bytes) -> bytes:
    """As the quantiser writes what is large."""
    model = tables(content)
    constants = [each.data.tobytes() if each.data is not None else b"" for each in model.buffers]
    written = b""
    for _ in range(2):  # For the length of the tables, and then with it.
        place = max(2, len(written))
        for buffer, data in zip(model.buffers, constants, strict=True):
            if data:
                buffer.data, buffer.offset, buffer.size = None, place, len(data)
            place += len(data)
        builder = flatbuffers.Builder(1024)
        builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
        written = bytes(builder.Output())
    return written + b"".join(constants)


def test_every_convolution_may_use_the_whole_range() -> None:
    assert (levels(1), levels(8)) == (127, 127)


def test_nothing_is_said(given: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    filters = list(warnings.filters)
    _quantize(given, PICTURES[:1])
    assert capfd.readouterr() == ("", "")
    assert warnings.filters == filters
    assert logging.root.manager.disable == logging.NOTSET


@pytest.mark.long
@pytest.mark.parametrize("task", ["detection", "segmentation"])
def test_a_file_of_8_bits_computes_nearly_the_same(tmp_path: Path, task: str) -> None:
    write_int8("litert", task, tmp_path / "a.tflite")
    engine = LiteRtEngine(tmp_path / "a.tflite", threads=1)
    said = engine.manifest
    assert (said.precision, said.batch, said.dynamic_size) == ("int8", 1, False)
    assert said.decoding == manifest(task).decoding
    check_nearly_same(engine, task)
