import random
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from mnv2_dense.errors import UserError
from mnv2_dense.importing.graph import GraphInput, Node
from mnv2_dense.importing.tflite import read_tflite, tensor_indices, tensor_names
from tests.importing.flatbuffers_models import ModelWriter, convolution, write_everything
from tests.importing.released_files import CLASSIFIER, DEEPLAB, DEEPLAB_FLOAT, SSDLITE
from tests.importing.small_models import read_unary, write_convolution


def test_a_dequantised_constant_is_a_constant(path: Path) -> None:
    graph = read_tflite(write_everything(path))
    np.testing.assert_array_equal(graph.constants["single"], np.ones(6, np.float32))
    assert "half" not in graph.constants
    assert [node.op for node in graph.nodes] == ["conv2d", "relu6", "add", "detection_post_process"]
    assert graph.nodes[2].inputs == ("mixed", "single")


def test_a_constant_that_is_also_read_as_it_is_stays(path: Path) -> None:
    writer = ModelWriter()
    half = writer.tensor("half", (2,), np.ones(2, np.float16), "FLOAT16")
    single = writer.tensor("single", (2,))
    writer.operator("DEQUANTIZE", [half], [single])
    writer.operator("ADD", [half, single], [writer.tensor("sum")])
    assert set(read_tflite(writer.write(path, [])).constants) == {"half", "single"}


def test_quantised_activations_pass_through(path: Path) -> None:
    assert read_unary(path, "DEQUANTIZE").op == "identity"
    assert read_unary(path, "QUANTIZE").op == "identity"


@pytest.mark.parametrize("activation", ["RELU", "RELU6"])
def test_a_fused_activation_is_a_node_of_its_own(activation: str, path: Path) -> None:
    graph = read_tflite(write_convolution(path, convolution(activation, stride=2)))
    before = "made before activation"
    attributes = {"layout": "OHWI", "dilations": (1, 1), "strides": (2, 2), "padding": "same"}
    assert graph.nodes == [
        Node("conv2d", "made", ("data", "weight"), (before,), attributes),
        Node(activation.lower(), "made", (before,), ("made",), {}),
    ]
    assert graph.outputs == ("made",)


@pytest.mark.parametrize("activation", ["RELU_N1_TO_1", "TANH", "SIGN_BIT"])
def test_another_activation_is_refused(activation: str, path: Path) -> None:
    with pytest.raises(UserError, match=rf"made \(conv2d\) ends in {activation.lower()}"):
        read_tflite(write_convolution(path, convolution(activation)))


def test_what_is_fed(path: Path) -> None:
    writer = ModelWriter()
    data = [
        writer.tensor("bytes", (1, 8, 8, 3), kind="UINT8", scale=[0.5], zero_point=[128]),
        writer.tensor("floats", (1, 4), scale=[0.5], zero_point=[128]),
        writer.tensor("any", (1, 4)),
    ]
    writer.part.tensors[data[-1]].shapeSignature = [-1, 4]
    options = schema.ConcatenationOptionsT()
    writer.operator("CONCATENATION", data, [writer.tensor("made")], options)
    assert read_tflite(writer.write(path, data)).inputs == {
        "bytes": GraphInput((1, 8, 8, 3), 0.5, 128.0, "uint8"),
        "floats": GraphInput((1, 4)),
        "any": GraphInput((None, 4)),
    }


def read_input(path: Path, kind: str, **steps: Any) -> GraphInput:
    """What is fed into a file whose one input is of a type."""
    writer = ModelWriter()
    data = writer.tensor("data", (1, 8, 8, 3), kind=kind, **steps)
    writer.operator("RELU", [data], [writer.tensor("made")])
    return read_tflite(writer.write(path, [data])).inputs["data"]


@pytest.mark.parametrize(("zero_point", "byte"), [(0, 128), (-1, 127), (-128, 0)])
def test_bytes_of_an_int8_input_begin_at_its_least_value(
    zero_point: int, byte: int, path: Path
) -> None:
    found = read_input(path, "INT8", scale=[0.5], zero_point=[zero_point])
    assert found == GraphInput((1, 8, 8, 3), 0.5, byte, "int8")


def test_bytes_are_told_from_floats(path: Path) -> None:
    assert read_input(path, "UINT8") == GraphInput((1, 8, 8, 3), dtype="uint8")


@pytest.mark.parametrize("kind", ["INT16", "INT32", "INT64"])
def test_wider_quantised_inputs_are_refused(kind: str, path: Path) -> None:
    with pytest.raises(UserError, match=f"data, an input, is {kind.lower()} with quantisation"):
        read_input(path, kind, scale=[0.5], zero_point=[0])


def test_an_int8_input_without_a_zero_point_is_refused(path: Path) -> None:
    with pytest.raises(UserError, match="data, an input, is int8 without quantisation"):
        read_input(path, "INT8")


@pytest.mark.parametrize(
    ("names", "unique"),
    [
        (["a", "b", "a"], ["a#0", "b", "a#2"]),
        (["", "b"], ["#0", "b"]),
        (["a#1", "a", "a"], ["a#1#0", "a#1", "a#2"]),
        ([], []),
    ],
)
def test_every_tensor_has_a_name_of_its_own(names: list[str], unique: list[str]) -> None:
    assert tensor_names(names) == unique


def test_names_lead_back_to_indices(path: Path) -> None:
    writer = ModelWriter()
    first, second = writer.tensor("x"), writer.tensor("x")
    writer.operator("RELU", [first], [second])
    writer.operator("RELU", [second], [writer.tensor("y")])
    graph = read_tflite(writer.write(path))
    assert [(*node.inputs, *node.outputs) for node in graph.nodes] == [("x#0", "x#1"), ("x#1", "y")]
    assert tensor_indices(path) == {"x#0": 0, "x#1": 1, "y": 2}


def spoil_subgraphs(writer: ModelWriter) -> None:
    second = schema.SubGraphT()
    second.name = b"while_body"
    writer.model.subgraphs.append(second)


def spoil_sparsity(writer: ModelWriter) -> None:
    writer.part.tensors[1].sparsity = schema.SparsityParametersT()


def spoil_buffer(writer: ModelWriter) -> None:
    writer.model.buffers[1].offset, writer.model.buffers[1].size = 4096, 16


def spoil_external(writer: ModelWriter) -> None:
    writer.part.tensors[1].externalBuffer = 3


def spoil_quantisation(writer: ModelWriter) -> None:
    quantization = writer.part.tensors[1].quantization
    quantization.detailsType = schema.QuantizationDetails.CustomQuantization
    quantization.details = schema.CustomQuantizationT()


def spoil_version(writer: ModelWriter) -> None:
    writer.model.version = 4


def spoil_order(writer: ModelWriter) -> None:
    writer.part.operators.reverse()


def spoil_uniqueness(writer: ModelWriter) -> None:
    writer.part.operators[1].outputs = writer.part.operators[0].outputs


def spoil_result(writer: ModelWriter) -> None:
    writer.part.outputs = [writer.tensor("nobody's")]


def spoil_constant(writer: ModelWriter) -> None:
    writer.part.operators[0].inputs = [0, 0]


def spoil_operation(writer: ModelWriter) -> None:
    writer.part.operators[0].opcodeIndex = 9


def spoil_tensor(writer: ModelWriter) -> None:
    writer.part.operators[0].inputs = [0, 99]


def spoil_name(writer: ModelWriter) -> None:
    writer.part.tensors[0].name = b"\xff\xfe"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (spoil_subgraphs, "has 2 subgraphs, the second is 'while_body'"),
        (spoil_sparsity, "weight is sparse"),
        (spoil_buffer, "values of weight are outside"),
        (spoil_external, "values of weight are outside"),
        (spoil_quantisation, "weight is quantised in a way of its own"),
        (spoil_version, "schema version 4; 3 is read"),
        (spoil_order, "made reads sum before it is made"),
        (spoil_uniqueness, "sum is made twice"),
        (spoil_result, "nobody's is a result, but nothing makes it"),
        (spoil_constant, r"weight \(4\) is left over"),
        (spoil_operation, "an operation that it does not list"),
        (spoil_tensor, "a tensor that it does not have"),
        (spoil_name, "not a TFLite file, or truncated"),
    ],
)
def test_what_is_not_supported_is_named(
    spoil: Callable[[ModelWriter], None], message: str, path: Path
) -> None:
    writer = ModelWriter()
    data = writer.tensor("data")
    weight = writer.tensor("weight", (4,), np.ones(4, np.int8), "INT8", scale=[1.0])
    total = writer.tensor("sum")
    writer.operator("ADD", [data, weight], [total])
    made = writer.tensor("made")
    writer.operator("RELU", [total], [made])
    spoil(writer)
    writer.write(path, outputs=writer.part.outputs or [total, made])
    with pytest.raises(UserError, match=message) as caught:
        read_tflite(path)
    assert str(caught.value).startswith(str(path))


def test_damaged_files_are_read_or_refused_at_once(path: Path) -> None:
    content = write_everything(path).read_bytes()
    generator = random.Random(0)
    read = 0
    for _ in range(400):
        damaged = bytearray(content)
        for _ in range(generator.choice([1, 2, 8])):
            place = generator.randrange(len(content) - 4)
            damaged[place] ^= 1 << generator.randrange(8)
            if generator.random() < 0.3:
                damaged[place : place + 4] = generator.choice([b"\xff" * 4, b"\xff\xff\xff\x7f"])
        path.write_bytes(damaged)
        started = time.perf_counter()
        with suppress(UserError):
            read_tflite(path)
            read += 1
        assert time.perf_counter() - started < 2
    assert 0 < read < 300


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (DEEPLAB_FLOAT, {"sub_7": GraphInput((1, 257, 257, 3))}),
        (
            DEEPLAB,
            {"MobilenetV2/MobilenetV2/input": GraphInput((1, 513, 513, 3), 2**-7, 128, "uint8")},
        ),
        (CLASSIFIER, {"input": GraphInput((1, 224, 224, 3), 2**-7, 128, "uint8")}),
        (
            SSDLITE,
            {
                "serving_default_input:0": GraphInput(
                    (1, 200, 200, 3), float(np.float32(1 / 127.5)), 127, "uint8"
                )
            },
        ),
    ],
)
def test_inputs_of_the_real_files(name: str, expected: dict[str, GraphInput], shared: Path) -> None:
    assert read_tflite(shared / "data/weights" / name).inputs == expected
