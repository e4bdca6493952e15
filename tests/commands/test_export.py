from pathlib import Path

import numpy as np
import pytest

from mnv2_dense.detection.network import Detector
from mnv2_dense.exporting import onnx_file
from mnv2_dense.prediction.engine import DetectorArrays, SegmenterArrays
from mnv2_dense.prediction.manifest import Manifest
from mnv2_dense.prediction.network import Deployed, DeployedDetector
from mnv2_dense.prediction.onnx_engine import OnnxEngine
from mnv2_dense.prediction.torch_engine import TorchEngine
from mnv2_dense.prediction.torch_export_engine import TorchExportEngine
from tests.commands.tiny import run_tool, tree

ONNX = ("--format", "onnx")


@pytest.fixture(scope="module")
def detector(trained_run: Path) -> Path:
    return trained_run / "checkpoints" / "best.ckpt"


@pytest.fixture(scope="module")
def segmenter(segmentation_run: Path) -> Path:
    return segmentation_run / "checkpoints" / "best.ckpt"


def test_a_detector_is_written_verified_and_described(
    detector: Path, shapes_set: Path, tmp_path: Path
) -> None:
    out = tmp_path / "new" / "detector.onnx"
    options = [*ONNX, "--out", out, "--pictures", shapes_set / "val2017", "--licence", "CC0"]
    outcome = run_tool("export", detector, *options).require_success()
    assert outcome.out.splitlines()[-1] == f"wrote {out}"
    for words in ("equal boxes", "100.000% of", "ONNX Runtime", "float32", "MB"):
        assert words in outcome.out
    assert list(tree(tmp_path)) == ["new", "new/detector.onnx"]
    engine = OnnxEngine(out, threads=1)
    assert engine.manifest.licence == "CC0"
    assert engine.manifest.batch is None
    images = np.zeros((2, *engine.manifest.input_size, 3), np.uint8)
    ours, theirs = TorchEngine(detector, threads=1).run(images), engine.run(images)
    assert isinstance(ours, DetectorArrays)
    assert isinstance(theirs, DetectorArrays)
    np.testing.assert_allclose(theirs.scores[:, :5], ours.scores[:, :5], atol=1e-5)


def test_size_and_overrides_reach_the_file(detector: Path, tmp_path: Path) -> None:
    out = tmp_path / "detector.onnx"
    options = ["--height", 96, "--width", 72, "decode.max_detections=7", "--out", out]
    run_tool("export", detector, *ONNX, *options).require_success()
    manifest = OnnxEngine(out).manifest
    assert manifest.input_size == (96, 72)
    assert manifest.decoding["max_detections"] == 7
    assert not manifest.dynamic_size


def test_a_segmenter_of_any_size(segmenter: Path, tmp_path: Path) -> None:
    out = tmp_path / "segmenter.onnx"
    options = ["--dynamic", "evaluation.flip=true", "--out", out]
    outcome = run_tool("export", segmenter, *ONNX, *options).require_success()
    assert "equal pixels" in outcome.out
    assert "note: evaluation.scales and evaluation.flip are not part of the file" in outcome.out
    engine = OnnxEngine(out, threads=1)
    assert engine.manifest.dynamic_size
    found = engine.run(np.zeros((1, 81, 49, 3), np.uint8))
    assert isinstance(found, SegmenterArrays)
    assert found.label_maps.shape == (1, 81, 49)


@pytest.mark.long
@pytest.mark.parametrize("task", ["detector", "segmenter"])
def test_torch_export_end_to_end(task: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    checkpoint, out = request.getfixturevalue(task), tmp_path / "network.pt2"
    run_tool("export", checkpoint, "--format", "torch_export", "--out", out).require_success()
    engine = TorchExportEngine(out, threads=1)
    images = np.random.default_rng(0).integers(
        0, 256, (3, *engine.manifest.input_size, 3), dtype=np.uint8
    )
    ours, theirs = TorchEngine(checkpoint).run(images), engine.run(images)
    for first, second in zip(ours, theirs, strict=True):
        count = first.shape[1]
        np.testing.assert_allclose(second[:, :count], first, atol=1e-4)


def test_a_file_that_computes_something_else_is_not_left_behind(
    detector: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = onnx_file.write

    def write_wrong(deployed: Deployed, manifest: Manifest, path: Path) -> None:
        assert isinstance(deployed, DeployedDetector)
        network = deployed.network
        assert isinstance(network, Detector)
        for name in network.class_layers:
            network.get_parameter(f"{name}.bias")[1] += 5
        write(deployed, manifest, path)

    monkeypatch.setattr(onnx_file, "write", write_wrong)
    out = tmp_path / "new" / "er" / "detector.onnx"
    outcome = run_tool("export", detector, *ONNX, "--out", out)
    assert outcome.code == 2
    assert f"error: {out} is not written: only " in outcome.err
    assert not list(tmp_path.iterdir())


def test_an_exported_model_is_not_exported_again(tmp_path: Path) -> None:
    model = tmp_path / "model.onnx"
    model.write_bytes(b"")
    outcome = run_tool("export", model, "--format", "openvino")
    assert outcome.code == 2
    assert f"error: {model}: an exported model is not exported again; give the ch" in outcome.err


def test_nothing_is_overwritten(detector: Path, tmp_path: Path) -> None:
    out = tmp_path / "detector.onnx"
    out.write_text("mine")
    outcome = run_tool("export", detector, *ONNX, "--out", out)
    assert (outcome.code, out.read_text()) == (2, "mine")
    assert "is there already; give another name" in outcome.err
    assert outcome.err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--format", "onnx", "--out", "x.bin"), "end in .onnx"),
        (("--format", "torch_export", "--out", "x.pt2", "--dynamic"), "pictures of one size"),
        (("--format", "litert", "--out", "x.tflite", "--dynamic"), "pictures of one size"),
        (("--format", "onnx", "--out", "x.onnx", "--int8"), "--calibration FOLDER"),
        (("--format", "onnx", "--out", "x.onnx", "--calibration", "y"), "goes with --int8"),
        (("--format", "onnx", "--out", "x.onnx", "--pictures", "nothing"), "nothing"),
        (("--format", "onnx", "--out", "x.onnx", "--height", "-1"), "input.height"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    detector: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = run_tool("export", detector, *arguments)
    assert outcome.code == 2
    assert message in outcome.err
    assert "Traceback" not in outcome.err
    assert not list(tmp_path.iterdir())


def test_dynamic_and_a_size_exclude_each_other(detector: Path) -> None:
    assert run_tool("export", detector, *ONNX, "--dynamic", "--height", 64).code == 2
