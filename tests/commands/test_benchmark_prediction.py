import os
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from mnv2_dense.benchmarking.prediction import rows, sections
from mnv2_dense.benchmarking.prediction.lineup import Lineup
from mnv2_dense.benchmarking.report import Section
from mnv2_dense.commands import benchmark_prediction
from mnv2_dense.exporting import formats
from tests.benchmarking.prediction.tiny_networks import TINY_SEGMENTER, Peer
from tests.commands.tiny import read_json, run_tool


def _start(weights: Path, *_: object) -> tuple[float, bool]:
    assert weights.is_file()
    return 1.25, False


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    """PyTorch's own, which a benchmark sets for the process."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def _tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(benchmark_prediction.SETTINGS, "segmentation", TINY_SEGMENTER)
    monkeypatch.setattr(sections, "measure_startup", _start)
    monkeypatch.setattr(rows, "build_deeplab", Peer)
    monkeypatch.setattr(rows, "LARGER", 100)


@pytest.mark.usefixtures("_tiny")
def test_times_and_ratios_are_printed_and_written(
    shapes_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(formats, "find_spec", {}.get)
    out = tmp_path / "new" / "figures.json"
    options = ["--task", "segmentation", "--engines", "torch", "openvino", "--threads", 1]
    pictures = shapes_set / "val2017"
    outcome = run_tool(
        "benchmark", "predict", *options, "--repetitions", 2, "--pictures", pictures, "--out", out
    ).require_success()
    assert "ours by torch, 64x64 / torchvision, 64x64" in outcome.out
    assert "at most 0.35" in outcome.out
    assert "torch: 1.25 s, without importing torch" in outcome.out
    assert "left out: openvino: needs onnx, which is not installed" in outcome.out
    assert "medians of 2: too few" in outcome.out
    assert f"wrote {out}" in outcome.out
    content = read_json(out)
    assert content["threads"] == 1
    assert content["machine"]["torch"] == torch.__version__.partition("+")[0]
    network, folder, start = content["sections"]
    assert network["times"]["ours by torch, 100x100"]["repetitions"] == 2
    assert all(each["median_ms"] >= each["min_ms"] > 0 for each in network["times"].values())
    assert folder["ratios"][0]["direction"] == "at least"
    assert folder["title"] == "segmentation, 6 picture files"
    assert start["times"] == {}


@pytest.mark.usefixtures("_tiny")
def test_nothing_is_left_behind_by_sigterm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(_lineup: Lineup) -> Section:
        assert len(list(tmp_path.iterdir())) == 2  # drawn pictures, and files of the network
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)
        return Section("not reached")

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr("mnv2_dense.benchmarking.prediction.folder.PICTURES", 1)
    monkeypatch.setattr(benchmark_prediction, "measure_network", stop)
    options = ["--task", "segmentation", "--engines", "torch", "--threads", 1]
    assert run_tool("benchmark", "predict", *options).code == 143
    assert not list(tmp_path.iterdir())


def test_a_picture_that_cannot_be_read_ends_it_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    outcome = run_tool("benchmark", "predict", "--pictures", tmp_path)
    assert outcome.code == 2
    assert "broken.jpg: " in outcome.err
    assert "writing files" not in outcome.out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--engines", "tensorrt"), "--engines: tensorrt is not known; allowed: onnx"),
        (("--threads", 0), "--threads is at least 1, not 0"),
        (("--repetitions", 0), "--repetitions is at least 1, not 0"),
        (("--out", "."), "--out .: is a folder; give the name of a JSON file"),
        (("--tflite", "none.tflite"), "--tflite none.tflite: no such file"),
        (("--models", "none.onnx"), "none.onnx: no such checkpoint or exported model"),
    ],
)
def test_mistakes(options: tuple[object, ...], message: str) -> None:
    outcome = run_tool("benchmark", "predict", *options)
    assert outcome.code == 2
    assert message in outcome.err


def test_a_model_of_another_input(trained_run: Path) -> None:
    weights = trained_run / "checkpoints" / "best.ckpt"
    outcome = run_tool("benchmark", "predict", "--models", weights)
    assert outcome.code == 2
    assert "is for detection of 64x64; timed are detection of 320 and segmentation" in outcome.err


@pytest.mark.long
def test_ssdlite_beside_its_peers(tmp_path: Path) -> None:
    out = tmp_path / "figures.json"
    options = ["--task", "detection", "--engines", "torch", "onnx", "--threads", 1]
    run_tool("benchmark", "predict", *options, "--repetitions", 1, "--out", out).require_success()
    network, _, start = read_json(out)["sections"]
    assert {"torchvision, 0.3", "ONNX Runtime, network alone"} < network["times"].keys()
    assert len(network["ratios"]) == 7
    assert start["notes"][-2].endswith("without importing torch")
