import pickle
import shutil
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

import mnv2_dense
from mnv2_dense.errors import UserError
from mnv2_dense.exporting import loading, onnx_file
from mnv2_dense.prediction.loading import ENGINES
from mnv2_dense.prediction.manifest import Manifest
from mnv2_dense.prediction.network import Deployed
from mnv2_dense.prediction.results import DetectionResult, SegmentationResult

PICTURE = np.random.default_rng(0).integers(0, 256, (50, 60, 3), dtype=np.uint8)
PYTORCH = f"PyTorch {torch.__version__}"


@pytest.fixture(params=["trained_run", "segmentation_run"])
def checkpoint(request: pytest.FixtureRequest) -> Path:
    return request.getfixturevalue(request.param) / "checkpoints" / "best.ckpt"


@pytest.mark.parametrize("engine", [None, "openvino"])
def test_a_checkpoint_is_run_by_the_best_engine_to_the_same_result(
    checkpoint: Path, engine: str | None
) -> None:
    predictor = mnv2_dense.load(checkpoint, engine, threads=1)
    name = "ONNX Runtime " if engine is None else "OpenVINO "
    assert predictor.engine.name.startswith(name)
    expected = mnv2_dense.load(checkpoint, "torch", threads=1).predict(PICTURE)
    result = predictor.predict(PICTURE)
    assert result.engine == predictor.engine.name
    if isinstance(result, SegmentationResult):
        assert isinstance(expected, SegmentationResult)
        assert (result.label_map == expected.label_map).mean() > 0.999
    else:
        assert isinstance(result, DetectionResult)
        assert isinstance(expected, DetectionResult)
        np.testing.assert_allclose(result.scores, expected.scores, atol=1e-5)
        np.testing.assert_allclose(result.boxes, expected.boxes, atol=1e-2)


def test_a_stream_has_engines_of_its_own(trained_run: Path) -> None:
    path = trained_run / "checkpoints" / "best.ckpt"
    with mnv2_dense.load(path, threads=2).predict([PICTURE] * 5) as results:
        assert [result.engine.split()[0] for result in results] == ["ONNX"] * 5


def test_without_another_library_pytorch_runs_it(
    trained_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = trained_run / "checkpoints" / "best.ckpt"
    for gone in ("onnxscript", *(ENGINES[name].library for name in loading.CONVERTED)):
        here = {"onnx": 1, "onnxscript": 1, "onnxruntime": 1, "openvino": 1} | {gone: None}
        with monkeypatch.context() as patch:
            patch.setattr(loading, "find_spec", here.get)
            name = mnv2_dense.load(path, threads=1).engine.name
        best = {"onnxscript": "PyTorch", "onnxruntime": "OpenVINO", "openvino": "ONNX"}
        assert name.split()[0] == best[gone]
    monkeypatch.setattr(loading, "find_spec", {"onnxscript": 1}.get)
    with pytest.raises(UserError, match=r"engine=onnx .* needs onnx, .*mnv2-dense\[onnx\]"):
        mnv2_dense.load(path, "onnx")


def test_what_does_not_compute_the_same_is_run_by_pytorch(
    trained_run: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path, build = trained_run / "checkpoints" / "best.ckpt", onnx_file.build_model

    def spoil(deployed: Deployed, manifest: Manifest) -> onnx.ModelProto:
        other = deepcopy(deployed)
        for parameter in other.parameters():
            parameter.data.mul_(3)
        return build(other, manifest)

    monkeypatch.setattr(onnx_file, "build_model", spoil)
    assert mnv2_dense.load(path, threads=1).engine.name == PYTORCH
    assert "boxes would be those of PyTorch; PyTorch runs it" in caplog.text
    with pytest.raises(UserError, match="not converted for onnx: only"):
        mnv2_dense.load(path, "onnx", threads=1)


def test_a_device_is_torchs(trained_run: Path) -> None:
    path = trained_run / "checkpoints" / "best.ckpt"
    assert mnv2_dense.load(path, device="meta").engine.name == PYTORCH
    with pytest.raises(UserError, match="device=meta is for engine=torch; onnx runs on the CPU"):
        mnv2_dense.load(path, "onnx", device="meta")
    with pytest.raises(UserError, match="device=nowhere cannot be used here"):
        mnv2_dense.load(path, device="nowhere")
    with pytest.raises(UserError, match="threads is a whole number, at least 1, not 0"):
        mnv2_dense.load(path, threads=0)
    with pytest.raises(UserError, match="engine=tensorrt is not known"):
        mnv2_dense.load(path, "tensorrt")
    with pytest.raises(UserError, match="no such checkpoint or exported model"):
        mnv2_dense.load(path.with_name("none.ckpt"))


def test_overrides_reach_the_converted_network(trained_run: Path) -> None:
    path = trained_run / "checkpoints" / "best.ckpt"
    predictor = loading.load(path, threads=1, overrides=["decode.max_detections=3"])
    result = predictor.predict(PICTURE, score_threshold=0.0)
    assert isinstance(result, DetectionResult)
    assert len(result.boxes) <= 3
    assert predictor.manifest.decoding["max_detections"] == 3


@pytest.mark.parametrize("error", [RuntimeError("of the exporter"), ImportError("of a library")])
def test_whatever_a_conversion_raises_pytorch_runs_it(
    trained_run: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(onnx_file, "build_model", fail)
    threads = torch.get_num_threads()
    path = trained_run / "checkpoints" / "best.ckpt"
    assert mnv2_dense.load(path, threads=threads).engine.name == PYTORCH
    assert f"not converted for onnx: {error}; PyTorch runs it" in caplog.text


def test_what_sees_nothing_is_not_taken_for_the_same(trained_run: Path) -> None:
    path = trained_run / "checkpoints" / "best.ckpt"
    with pytest.raises(UserError, match="sees nothing in drawn pictures"):
        loading.load(path, "onnx", threads=1, overrides=["decode.score_threshold=1.0"])


def test_a_checkpoint_is_converted_once_for_several_processes(
    trained_run: Path, tmp_path: Path
) -> None:
    path = Path(shutil.copy(trained_run / "checkpoints" / "best.ckpt", tmp_path))
    opening = loading.prepare(path, threads=1)
    path.write_bytes(b"not read again")
    assert len(repr(opening)) < 1000
    results = [
        each.open(threads=1).predict(PICTURE, score_threshold=0.0)
        for each in (opening, pickle.loads(pickle.dumps(opening)))
    ]
    for result in results:
        assert isinstance(result, DetectionResult)
        assert result.engine.startswith("ONNX Runtime ")
        assert len(result.boxes)
    assert results[0].to_coco(1) == results[1].to_coco(1)
    with pytest.raises(UserError, match="threads is a whole number, at least 1, not 0"):
        opening.open(threads=0)


@pytest.mark.parametrize("name", ["model.onnx", "none.ckpt"])
def test_what_is_not_converted_is_not_looked_at_before_it_is_opened(
    tmp_path: Path, name: str
) -> None:
    opening = loading.prepare(tmp_path / name)
    assert opening.content is None
    with pytest.raises(UserError, match=f"{name}: no such checkpoint or exported model"):
        opening.open()


def test_several_threads_may_load(trained_run: Path) -> None:
    path = trained_run / "checkpoints" / "best.ckpt"
    with ThreadPoolExecutor(3) as pool:
        loaded = list(pool.map(partial(mnv2_dense.load, threads=1), [path] * 3))
    assert {each.engine.name.split()[0] for each in loaded} == {"ONNX"}


def test_pytorchs_own_number_of_threads_stays(
    trained_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers: list[int] = []
    monkeypatch.setattr(torch, "get_num_threads", lambda: 7)
    monkeypatch.setattr(torch, "set_num_threads", numbers.append)
    mnv2_dense.load(trained_run / "checkpoints" / "best.ckpt", threads=1)
    assert (numbers[0], numbers[-1]) == (1, 7)
    with pytest.raises(UserError):  # Also where nothing can be opened.
        mnv2_dense.load(trained_run / "config.yaml", threads=2)
    assert numbers[-2:] == [2, 7]
