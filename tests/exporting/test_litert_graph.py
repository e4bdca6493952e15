from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from mnv2_dense.exporting.litert_graph import LiteRtGraph
from tests.exporting.litert_graphs import content_of, run, tables
from tests.importing.flatbuffers_models import ModelWriter

REALS = np.random.default_rng(0).normal(size=(2, 6)).astype(np.float32)
WHOLE = np.array([-7, -1, 0, 5], np.int32)
INPUTS = {"reals": 0, "whole": 1}


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Twice the real numbers; the whole ones are not used."""
    writer = ModelWriter()
    reals = writer.tensor("reals", REALS.shape)
    writer.tensor("whole", WHOLE.shape, kind="INT32")
    twice = writer.tensor("twice", REALS.shape)
    writer.operator("ADD", [reals, reals], [twice], schema.AddOptionsT())
    entry = schema.MetadataT()
    entry.name, entry.buffer = b"of the converter", len(writer.model.buffers)
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(b"kept", np.uint8)
    writer.model.buffers.append(buffer)
    writer.model.metadata = [entry]
    return content_of(writer, tmp_path_factory.mktemp("graph"), INPUTS, {"twice": twice})


def floor_of(function: str, graph: LiteRtGraph) -> int:
    found = graph.tensor(WHOLE.shape, "INT32")
    graph.operator(function, [INPUTS["whole"], graph.constant(np.int32(3))], [found])
    return found


def of_two(function: str, graph: LiteRtGraph) -> int:
    found = graph.tensor(REALS.shape)
    row = graph.constant(np.arange(6, dtype=np.float32))
    graph.operator(function, [INPUTS["reals"], row], [found])
    return found


def gather(axis: int, graph: LiteRtGraph) -> int:
    found = graph.tensor((2, 2) if axis == 1 else (2, 6))
    places = graph.constant(np.array([1, 0], np.int32))
    graph.operator("GATHER", [INPUTS["reals"], places], [found], axis=axis)
    return found


def one_hot(graph: LiteRtGraph) -> int:
    found = graph.tensor((4, 6))
    values = [graph.constant(each) for each in (np.int32(6), np.float32(2), np.float32(-1))]
    graph.operator("ONE_HOT", [INPUTS["whole"], *values], [found], axis=-1)
    return found


def largest(graph: LiteRtGraph) -> int:
    found, places = graph.tensor((2, 3)), graph.tensor((2, 3), "INT32")
    count = graph.constant(np.int32(3))
    graph.operator("TOPK_V2", [INPUTS["reals"], count], [found, places])
    return places


CASES: dict[str, tuple[Callable[[LiteRtGraph], int], NDArray[Any]]] = {
    "add": (lambda graph: of_two("ADD", graph), REALS + np.arange(6, dtype=np.float32)),
    "sub": (lambda graph: of_two("SUB", graph), REALS - np.arange(6, dtype=np.float32)),
    "mul": (lambda graph: of_two("MUL", graph), REALS * np.arange(6, dtype=np.float32)),
    "floor_div": (lambda graph: floor_of("FLOOR_DIV", graph), WHOLE // 3),
    "floor_mod": (lambda graph: floor_of("FLOOR_MOD", graph), WHOLE % 3),
    "gather rows": (lambda graph: gather(0, graph), REALS[[1, 0]]),
    "gather columns": (lambda graph: gather(1, graph), REALS[:, [1, 0]]),
    "reshape": (lambda graph: graph.reshape(INPUTS["reals"], (3, 1, 4)), REALS.reshape(3, 1, 4)),
    "one_hot": (one_hot, np.where(WHOLE[:, None] == np.arange(6), 2.0, -1.0)),
    "topk": (largest, np.argsort(-REALS, axis=1)[:, :3]),
}


@pytest.mark.parametrize("name", CASES)
def test_an_operation_computes_what_numpy_computes(content: bytes, name: str) -> None:
    build, expected = CASES[name]
    graph = LiteRtGraph(content)
    found = build(graph)
    assert graph.shape(found) == expected.shape
    graph.set_outputs({"twice": graph.output("twice"), "found": found})
    results = run(graph.to_bytes(), reals=REALS, whole=WHOLE)
    np.testing.assert_array_equal(results["found"], expected)
    np.testing.assert_array_equal(results["twice"], 2 * REALS)


def test_what_is_there_is_known_by_its_name_and_shape(content: bytes) -> None:
    graph = LiteRtGraph(content)
    assert graph.output("twice") == 2
    assert [graph.shape(each) for each in range(3)] == [(2, 6), (4,), (2, 6)]


def test_outputs_take_the_place_of_those_before(content: bytes) -> None:
    graph = LiteRtGraph(content)
    graph.set_outputs({"same": INPUTS["reals"]})
    assert list(run(graph.to_bytes(), reals=REALS, whole=WHOLE)) == ["same"]
    assert tables(graph.to_bytes()).subgraphs[0].outputs == [INPUTS["reals"]]
    with pytest.raises(KeyError):
        graph.output("twice")


def test_an_operation_of_another_maker_keeps_its_name_and_options(content: bytes) -> None:
    graph = LiteRtGraph(content)
    options = bytes(range(256))
    graph.custom("Anything", [0, 1], [graph.tensor((1,))], options)
    model = tables(graph.to_bytes())
    operator = model.subgraphs[0].operators[-1]
    code = model.operatorCodes[operator.opcodeIndex]
    assert code.builtinCode == schema.BuiltinOperator.CUSTOM
    assert code.customCode == b"Anything"
    assert bytes(operator.customOptions) == options
    assert (list(operator.inputs), list(operator.outputs)) == ([0, 1], [3])


def test_entries_are_added_to_those_that_are_there(content: bytes) -> None:
    graph = LiteRtGraph(content)
    graph.add_metadata("first", b"one")
    graph.add_metadata("second", "zwölf".encode())
    model = tables(graph.to_bytes())
    entries = {each.name: bytes(model.buffers[each.buffer].data) for each in model.metadata}
    assert entries == {
        b"of the converter": b"kept",
        b"first": b"one",
        b"second": "zwölf".encode(),
    }


def test_constants_of_any_length_keep_their_alignment(content: bytes) -> None:
    graph = LiteRtGraph(content)
    for length in range(1, 40):
        graph.constant(np.arange(length, dtype=np.int32))
        graph.add_metadata(f"entry {length}", bytes(length))
    written = graph.to_bytes()
    model: Any = schema.Model.GetRootAs(written, 0)
    start = np.frombuffer(written, np.uint8).__array_interface__["data"][0]
    buffers = [model.Buffers(index).DataAsNumpy() for index in range(model.BuffersLength())]
    places = [each.__array_interface__["data"][0] for each in buffers if not isinstance(each, int)]
    assert len(places) == 2 * 39 + 1
    assert {(place - start) % 16 for place in places} == {0}
