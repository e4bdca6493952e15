import builtins
import time
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from mnv2_dense.errors import UserError
from mnv2_dense.importing import tflite_constants
from mnv2_dense.importing.tflite import read_tflite, tensor_indices
from tests.importing.flatbuffers_models import write_everything


@pytest.mark.parametrize(
    "content",
    [b"", b"TFL3", b"\0\0\0\0TFL3", b"\x08\0\0\0TFL3", b"PK\3\4" * 500, b"\xff" * 4 + b"TFL3" * 99],
)
def test_foreign_files_are_refused(content: bytes, path: Path) -> None:
    path.write_bytes(content)
    for read in (read_tflite, tensor_indices):
        with pytest.raises(UserError, match=r"model\.tflite: not a TFLite file, or truncated"):
            read(path)


def test_paths_that_are_no_file_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "absent.tflite"):
        with pytest.raises(UserError, match="no such file"):
            read_tflite(path)


def test_a_huge_file_is_refused_unread(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2**28 + 1)
    with pytest.raises(UserError, match="larger than 256 MiB"):
        read_tflite(path)


def test_without_the_runtime_the_extra_is_named(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    imported = builtins.__import__

    def refuse(name: str, *rest: Any) -> Any:
        if name.startswith("ai_edge_litert"):
            raise ImportError(name)
        return imported(name, *rest)

    write_everything(path)
    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(UserError, match=r"pip install 'mnv2-dense\[tflite\]'"):
        read_tflite(path)


def test_a_file_cut_anywhere_is_refused(path: Path) -> None:
    content = write_everything(path).read_bytes()
    for length in range(0, len(content), 7):
        path.write_bytes(content[:length])
        with pytest.raises(UserError, match="not a TFLite file, or truncated"):
            read_tflite(path)


def write_shared_tables(path: Path, *, tensors: int, operators: int, operands: int) -> None:
    """A small file that lists one tensor, of 10 kB, and one operator many times."""
    builder = flatbuffers.Builder(1024)
    content = builder.CreateByteVector(bytes(10_000))
    name = builder.CreateString("n" * 10_000)
    shape = builder.CreateNumpyVector(np.array([10_000], np.int32))
    inputs = builder.CreateNumpyVector(np.zeros(operands, np.int32))
    tables = []
    schema.BufferStart(builder)
    schema.BufferAddData(builder, content)
    tables.append([schema.BufferEnd(builder)])
    schema.OperatorCodeStart(builder)
    schema.OperatorCodeAddBuiltinCode(builder, schema.BuiltinOperator.PACK)
    tables.append([schema.OperatorCodeEnd(builder)])
    schema.TensorStart(builder)
    schema.TensorAddShape(builder, shape)
    schema.TensorAddName(builder, name)
    schema.TensorAddType(builder, schema.TensorType.INT8)
    tables.append([schema.TensorEnd(builder)] * tensors)
    schema.OperatorStart(builder)
    schema.OperatorAddInputs(builder, inputs)
    tables.append([schema.OperatorEnd(builder)] * operators)
    vectors = []
    for table in tables:
        builder.StartVector(4, len(table), 4)
        for entry in table:
            builder.PrependUOffsetTRelative(entry)
        vectors.append(builder.EndVector())
    schema.SubGraphStart(builder)
    schema.SubGraphAddTensors(builder, vectors[2])
    schema.SubGraphAddOperators(builder, vectors[3])
    part = schema.SubGraphEnd(builder)
    builder.StartVector(4, 1, 4)
    builder.PrependUOffsetTRelative(part)
    parts = builder.EndVector()
    schema.ModelStart(builder)
    schema.ModelAddVersion(builder, 3)
    schema.ModelAddBuffers(builder, vectors[0])
    schema.ModelAddOperatorCodes(builder, vectors[1])
    schema.ModelAddSubgraphs(builder, parts)
    builder.Finish(schema.ModelEnd(builder), file_identifier=b"TFL3")
    path.write_bytes(builder.Output())


@pytest.mark.parametrize(
    ("tensors", "operators", "operands", "message"),
    [
        (20_000, 1, 1, "names are more than 4 times as large"),
        (20_001, 1, 1, "20001 tensors; at most 20000"),
        (1, 20_001, 1, "20001 operators; at most 20000"),
        (1, 1, 257, "257 operands; at most 256"),
    ],
)
def test_endless_work_in_a_small_file_is_refused(
    tensors: int, operators: int, operands: int, message: str, path: Path
) -> None:
    write_shared_tables(path, tensors=tensors, operators=operators, operands=operands)
    started = time.perf_counter()
    with pytest.raises(UserError, match=message):
        read_tflite(path)
    assert time.perf_counter() - started < 5


def test_the_most_that_is_read_is_read_in_seconds(path: Path) -> None:
    write_shared_tables(path, tensors=1, operators=5000, operands=256)
    started = time.perf_counter()
    assert len(read_tflite(path).nodes) == 5000
    assert time.perf_counter() - started < 10


def test_names_are_fit_for_a_message(path: Path) -> None:
    content = write_everything(path).read_bytes()
    path.write_bytes(content.replace(b"mixed", b"m\n\x1b[d"))
    assert "m??[d" in tensor_indices(path)


def test_more_numbers_than_are_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_everything(path)
    monkeypatch.setattr(tflite_constants, "MAX_VALUES", 20)
    with pytest.raises(UserError, match="its constants hold more than 20 numbers"):
        read_tflite(path)
