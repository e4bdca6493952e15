from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from typing_extensions import override

from mnv2_dense.commands import benchmark
from tests.commands.tiny import read_json, run_tool

TINY: dict[str, Any] = {
    "input": {"height": 65, "width": 65},
    "backbone": {"output_stride": 16, "width_mult": 0.35},
    "head": {"aspp": "none", "channels": 16},
}


class Peer(nn.Module):
    """In the place of torchvision's network."""

    @override
    def forward(self, images: Tensor) -> dict[str, Tensor]:
        return {"out": torch.zeros(1, 21, *images.shape[-2:])}


def _start(weights: Path, *_: object) -> tuple[float, bool]:
    assert weights.is_file()
    return 1.25, False


@pytest.fixture
def _tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(benchmark.SETTINGS, "segmentation", {**benchmark.SEGMENTER, **TINY})
    monkeypatch.setattr(benchmark, "measure_startup", _start)
    monkeypatch.setattr("mnv2_dense.benchmarking.rows.build_deeplab", Peer)
    monkeypatch.setattr("mnv2_dense.benchmarking.rows.LARGER", 100)


@pytest.mark.usefixtures("_tiny")
def test_times_and_ratios_are_printed_and_written(shapes_set: Path, tmp_path: Path) -> None:
    out = tmp_path / "figures.json"
    options = ["--task", "segmentation", "--engines", "torch", "--threads", 1]
    pictures = shapes_set / "val2017"
    outcome = run_tool(
        "benchmark", "predict", *options, "--repetitions", 2, "--pictures", pictures, "--out", out
    ).require_success()
    assert "ours by torch, 64x64 / torchvision, 64x64" in outcome.out
    assert "at most 0.35" in outcome.out
    assert "torch: 1.25 s, without importing torch" in outcome.out
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


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--engines", "tensorrt"), "--engines: tensorrt is not known; allowed: onnx"),
        (("--threads", 0), "--threads is at least 1, not 0"),
        (("--repetitions", 0), "--repetitions is at least 1, not 0"),
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
