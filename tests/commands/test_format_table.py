import math
from pathlib import Path

import pytest

from mnv2_dense.commands import format_table
from mnv2_dense.exporting import formats, verify
from mnv2_dense.exporting.formats import FORMATS
from tests.commands.tiny import read_json, run_tool, tree


@pytest.mark.parametrize(
    ("run", "score"),
    [
        pytest.param("trained_run", "mAP", marks=pytest.mark.long),
        ("segmentation_run", "mIoU"),
    ],
)
def test_every_format_has_a_row_with_its_score_size_and_time(
    run: str,
    score: str,
    request: pytest.FixtureRequest,
    shapes_set: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The quickest one with 8 bits and, for the long test, one without.
    detects = score == "mAP"
    names = ("onnx", "torch_export") if detects else ("onnx",)
    some = {name: FORMATS[name] for name in names}
    monkeypatch.setattr(format_table, "FORMATS", some)
    # An untrained network does not survive 8 bits, which is not what is tested here.
    monkeypatch.setitem(verify.PIXELS, "int8", 0.0)
    monkeypatch.setitem(verify.NOISE, "int8", math.inf)
    folder: Path = request.getfixturevalue(run)
    out, calibration = tmp_path / "out", shapes_set / "val2017"
    checkpoint = folder / "checkpoints" / "best.ckpt"
    options = ["--calibration", calibration, "--out", out, "--threads", 1, "--repetitions", 2]
    outcome = run_tool("benchmark", "formats", checkpoint, *options).require_success()
    files = ["best-float32.onnx", "best-int8.onnx", "best-float32.pt2"][: 3 if detects else 2]
    assert set(tree(out)) == {*files, "formats.json", "formats.md"}
    assert (out / "formats.md").read_text(encoding="utf-8") in outcome.out
    rows = read_json(out / "formats.json")["rows"]
    assert [(row["format"], row["precision"]) for row in rows] == [
        ("checkpoint", "float32"),
        ("onnx", "float32"),
        ("onnx", "int8"),
        ("torch_export", "float32"),
    ][: 4 if detects else 3]
    expected = read_json(folder / "metrics.json")[score]
    for row in rows:
        if row["precision"] == "float32":
            assert row["score"] == pytest.approx(expected, abs=2e-3)
        assert row["milliseconds"] > 0
    assert rows[1]["megabytes"] == (out / files[0]).stat().st_size / 1e6
    assert rows[0]["engine"].startswith("PyTorch ")
    assert rows[2]["engine"].startswith("ONNX Runtime ")


def test_data_that_cannot_be_measured_stop_before_anything_is_written(
    trained_run: Path, tmp_path: Path
) -> None:
    checkpoint, out = trained_run / "checkpoints" / "best.ckpt", tmp_path / "out"
    changes = ["input.height=64", "--calibration", tmp_path, "--out", out]
    outcome = run_tool("benchmark", "formats", checkpoint, *changes)
    assert outcome.code == 2
    assert "input.height=64: " in outcome.err
    assert not out.exists()


def test_a_folder_without_pictures_stops_before_anything_is_written(
    trained_run: Path, tmp_path: Path
) -> None:
    checkpoint, out = trained_run / "checkpoints" / "best.ckpt", tmp_path / "out"
    options = ["--calibration", tmp_path / "none", "--out", out]
    outcome = run_tool("benchmark", "formats", checkpoint, *options)
    assert outcome.code == 2
    assert "none: no such file or folder" in outcome.err
    assert not out.exists()


def test_what_computes_something_else_is_left_out(
    segmentation_run: Path, shapes_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(format_table, "FORMATS", {"onnx": FORMATS["onnx"]})
    monkeypatch.setitem(verify.PIXELS, "int8", 1.1)
    checkpoint, out = segmentation_run / "checkpoints" / "best.ckpt", tmp_path / "out"
    options = ["--calibration", shapes_set / "val2017", "--out", out, "--repetitions", 1]
    outcome = run_tool("benchmark", "formats", checkpoint, *options).require_success()
    assert f"left out: {out / 'best-int8.onnx'} is not written: " in outcome.out
    rows = read_json(out / "formats.json")["rows"]
    assert [(row["format"], row["precision"]) for row in rows][1:] == [("onnx", "float32")]
    again = run_tool("benchmark", "formats", checkpoint, *options)
    assert again.code == 2
    assert "best-float32.onnx is there already; give a new folder" in again.err


def test_formats_without_their_library_are_left_out(
    segmentation_run: Path,
    shapes_set: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(format_table, "FORMATS", {"openvino": FORMATS["openvino"]})
    monkeypatch.setattr(formats, "find_spec", {}.get)
    checkpoint, out = segmentation_run / "checkpoints" / "best.ckpt", tmp_path / "out"
    options = ["--calibration", shapes_set / "val2017", "--out", out, "--repetitions", 1]
    outcome = run_tool("benchmark", "formats", checkpoint, *options).require_success()
    assert outcome.out.count("left out: --format openvino needs onnx, which is not installed") == 2
    assert [row["format"] for row in read_json(out / "formats.json")["rows"]] == ["checkpoint"]
