import builtins
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mnv2_dense.errors import UserError
from mnv2_dense.parity.runtime import Runtime
from mnv2_dense.structures import ImageSize
from tests.importing.flatbuffers_models import ModelWriter, convolution

MEAN, STD = (128.0,) * 3, (64.0,) * 3
WEIGHT = np.array([[1, 0, 0], [0.5, -1, 2]], np.float32).reshape(2, 1, 1, 3)
BIAS = np.array([0.25, -0.5], np.float32)
PICTURE = np.random.default_rng(0).integers(0, 256, (2, 4, 3)).astype(np.uint8)


def write_float(path: Path, shape: Sequence[int] = (1, 2, 4, 3)) -> Path:
    """A 1x1 layer with ReLU6, its input twice itself, and a resize that nothing needs."""
    writer = ModelWriter()
    data = writer.tensor("data", shape)
    weight = writer.tensor("weight", WEIGHT.shape, WEIGHT)
    bias = writer.tensor("bias", (2,), BIAS)
    maps = writer.tensor("maps", (1, 2, 4, 2))
    writer.operator("CONV_2D", [data, weight, bias], [maps], convolution("RELU6"))
    flat = writer.tensor("flat", (1, 16))
    to = writer.tensor("to", (2,), np.array([1, 16], np.int32), "INT32")
    writer.operator("RESHAPE", [maps, to], [flat])
    scores = writer.tensor("scores", (1, 16))
    writer.operator("LOGISTIC", [flat], [scores])
    return writer.write(path)


def write_bytes(path: Path, kind: str = "UINT8") -> Path:
    """The same layer of bytes, whose values are rounded to eighths from -4 on."""
    moved = 0 if kind == "UINT8" else 128
    writer = ModelWriter()
    data = writer.tensor("data", (1, 2, 4, 3), kind=kind, scale=[1 / 64], zero_point=[128 - moved])
    stored = np.rint(WEIGHT * 32 + 128 - moved).astype(np.uint8 if moved == 0 else np.int8)
    weight = writer.tensor(
        "weight", WEIGHT.shape, stored, kind, scale=[1 / 32], zero_point=[128 - moved]
    )
    stored_bias = np.rint(BIAS * 64 * 32).astype(np.int32)
    bias = writer.tensor("bias", (2,), stored_bias, "INT32", scale=[1 / 64 / 32], zero_point=[0])
    maps = writer.tensor("maps", (1, 2, 4, 2), kind=kind, scale=[1 / 8], zero_point=[32 - moved])
    writer.operator("CONV_2D", [data, weight, bias], [maps], convolution())
    return writer.write(path)


def expected(picture: np.ndarray) -> np.ndarray:
    """What the layer makes of a picture, without its activation."""
    normalized = (picture.astype(np.float64) - 128) / 64
    return normalized @ WEIGHT[:, 0, 0].T + BIAS


@pytest.mark.parametrize("every", [True, False])
def test_a_picture_goes_through_a_float_file(tmp_path: Path, every: bool) -> None:
    runtime = Runtime(write_float(tmp_path / "a.tflite"), MEAN, STD, every_tensor=every)
    assert runtime.size == ImageSize(2, 4)
    runtime.run(PICTURE)
    maps = expected(PICTURE).clip(0, 6)
    scores = 1 / (1 + np.exp(-maps.reshape(1, 16)))
    np.testing.assert_allclose(runtime.tensor("scores"), scores, atol=1e-6)


def test_values_on_the_way_are_kept(tmp_path: Path) -> None:
    runtime = Runtime(write_float(tmp_path / "a.tflite"), MEAN, STD)
    for picture in (PICTURE, 255 - PICTURE):
        runtime.run(picture)
        maps = expected(picture).clip(0, 6)
        np.testing.assert_allclose(runtime.tensor("maps")[0], maps, atol=1e-5)
        np.testing.assert_allclose(runtime.tensor("flat"), maps.reshape(1, 16), atol=1e-5)
    assert runtime.rounding("maps") is None


@pytest.mark.parametrize("kind", ["UINT8", "INT8"])
def test_a_quantised_file_is_fed_bytes_and_read_as_values(tmp_path: Path, kind: str) -> None:
    runtime = Runtime(write_bytes(tmp_path / "a.tflite", kind), MEAN, STD)
    runtime.run(PICTURE)
    rounding = runtime.rounding("maps")
    assert rounding == (0.125, -4.0, 27.875)
    values = runtime.tensor("maps")[0]
    assert values.dtype == np.float32
    assert np.abs(values - expected(PICTURE).clip(-4, 27.875)).max() <= 0.126 / 2
    np.testing.assert_array_equal(values, np.rint(values * 8) / 8)


def test_what_a_file_of_bytes_has_seen_is_rounded(tmp_path: Path) -> None:
    runtime = Runtime(write_bytes(tmp_path / "a.tflite"), MEAN, STD)
    between = (PICTURE.astype(np.float32) + 0.3 - 128) / 64
    seen = runtime.feed(between)
    np.testing.assert_array_equal(seen, (PICTURE.astype(np.float32) - 128) / 64)
    assert runtime.feed(np.full_like(between, 9)).max() == pytest.approx((255 - 128) / 64)


def test_what_a_float_file_has_seen_is_what_it_was_given(tmp_path: Path) -> None:
    runtime = Runtime(write_float(tmp_path / "a.tflite"), MEAN, STD)
    between = (PICTURE.astype(np.float32) + 0.3 - 128) / 64
    np.testing.assert_array_equal(runtime.feed(between), between)


def test_a_picture_of_another_size_is_refused(tmp_path: Path) -> None:
    runtime = Runtime(write_float(tmp_path / "a.tflite"), MEAN, STD)
    with pytest.raises(UserError, match=r"a\.tflite: takes pictures of 2x4, .* is shown 4x4"):
        runtime.run(np.zeros((4, 4, 3), np.uint8))


def test_a_file_that_cannot_be_run_is_refused(tmp_path: Path) -> None:
    path = write_float(tmp_path / "a.tflite", shape=(1, 3, 4, 3))  # its reshape has too few values
    with pytest.raises(UserError, match=r"a\.tflite: the TFLite runtime cannot run it"):
        Runtime(path, MEAN, STD)


def test_an_input_that_is_no_picture_is_refused(tmp_path: Path) -> None:
    path = write_float(tmp_path / "a.tflite", shape=(2, 2, 2, 3))
    with pytest.raises(UserError, match=r"a\.tflite: takes \(2, 2, 2, 3\) of float32; one input"):
        Runtime(path, MEAN, STD)


def test_a_missing_runtime_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, known = write_float(tmp_path / "a.tflite"), builtins.__import__

    def without(name: str, *arguments: Any, **options: Any) -> Any:
        if name == "ai_edge_litert.interpreter":
            raise ImportError(name)
        return known(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UserError, match=r"pip install 'mnv2-dense\[tflite\]'"):
        Runtime(path, MEAN, STD)


@pytest.mark.parametrize("every", [True, False])
def test_the_runtime_says_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], every: bool
) -> None:
    runtime = Runtime(write_float(tmp_path / "a.tflite"), MEAN, STD, every_tensor=every)
    runtime.run(PICTURE)
    assert capfd.readouterr() == ("", "")


def test_errors_of_the_runtime_come_through(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from ai_edge_litert.interpreter import Interpreter

    runtime = Runtime(write_float(tmp_path / "a.tflite"), MEAN, STD)
    known = Interpreter.invoke

    def loud(self: Any) -> None:
        os.write(2, b"INFO: a remark\nERROR: a mistake\n")
        known(self)

    monkeypatch.setattr(Interpreter, "invoke", loud)
    runtime.run(PICTURE)
    assert capfd.readouterr().err == "ERROR: a mistake\n"
