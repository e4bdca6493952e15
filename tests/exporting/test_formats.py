import importlib.util
from pathlib import Path

import pytest

from mnv2_dense.errors import UserError
from mnv2_dense.exporting import formats, onnx_file
from mnv2_dense.exporting.formats import FORMATS, check_format, writer
from mnv2_dense.prediction.loading import ENGINES, SUFFIXES, model_files
from tests.commands.tiny import load_tool


def test_every_format_is_opened_by_the_engine_of_its_name() -> None:
    for name, kind in FORMATS.items():
        assert name in ENGINES
        assert SUFFIXES[kind.suffix][0] == name
    assert set(load_tool("export").FORMATS) == FORMATS.keys()


def test_a_format_is_written_by_its_own_module() -> None:
    assert writer("onnx") is onnx_file.write
    assert model_files(Path("a/b.xml")) == [Path("a/b.xml"), Path("a/b.bin")]


def test_a_missing_library_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    check_format("torch_export", int8=False)
    monkeypatch.setattr(formats, "find_spec", {}.get)
    with pytest.raises(UserError, match=r"needs onnx, .*pip install 'mnv2-dense\[onnx\]'"):
        check_format("onnx", int8=False)
    assert importlib.util.find_spec("onnx") is not None


def test_8_bits_need_the_quantiser_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "find_spec", {"openvino": 1, "onnx": 1, "onnxscript": 1}.get)
    check_format("openvino", int8=False)
    with pytest.raises(UserError, match=r"needs nncf, .*pip install 'mnv2-dense\[openvino\]'"):
        check_format("openvino", int8=True)


def test_8_bits_are_refused_where_there_are_none() -> None:
    with pytest.raises(UserError, match="float32 only; those in 8 bits are onnx, openvino, litert"):
        check_format("torch_export", int8=True)
