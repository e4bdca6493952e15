import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import mnv2_dense
from mnv2_dense.builders.opening import open_checkpoint
from mnv2_dense.commands.columns import column_of
from mnv2_dense.errors import UserError
from mnv2_dense.prediction import loading
from mnv2_dense.prediction.loading import EngineKind, choose_engine, default_threads, load
from mnv2_dense.prediction.results import DetectionResult, SegmentationResult
from tests.commands.tiny import ROOT, WINDOW

HEAVY = ("torch", "lightning", "albumentations", "pydantic", "matplotlib")


def imported(*modules: str) -> set[str]:
    """What is there after an import in a fresh interpreter."""
    code = f"import sys, {', '.join(modules)}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def test_exported_models_run_without_torch() -> None:
    names = ("loading", "predictor", "sources", "video", "results", "onnx_engine")
    modules = [f"mnv2_dense.prediction.{name}" for name in names]
    assert not imported(*modules, "mnv2_dense.commands.predict") & set(HEAVY)


def test_the_package_itself_imports_nothing() -> None:
    there = imported("mnv2_dense")
    assert not there & {*HEAVY, "numpy", "PIL", "cv2"}
    assert not [name for name in there if name.startswith("mnv2_dense.")]


def noise(side: int = WINDOW) -> np.ndarray:
    """Without padding, whose colour evaluation does not round."""
    return np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)


@pytest.mark.parametrize("run", ["trained_run", "segmentation_run"])
def test_a_checkpoint_gives_what_evaluation_gives(run: str, request: pytest.FixtureRequest) -> None:
    path = request.getfixturevalue(run) / "checkpoints" / "best.ckpt"
    predictor = mnv2_dense.load(path, "torch", threads=1)
    assert predictor.engine.name == f"PyTorch {torch.__version__}"
    config, categories, task = open_checkpoint(path)
    expected = column_of(config, task.eval(), categories).see(noise())
    for source in (noise(), torch.from_numpy(noise()).permute(2, 0, 1)):
        result = predictor.predict(source, score_threshold=0.0)
        assert result.categories == tuple(categories)
        if isinstance(result, SegmentationResult):
            assert len(np.unique(expected)) > 1
            assert (result.label_map == expected).mean() > 0.999
        else:
            assert isinstance(result, DetectionResult)
            torch.testing.assert_close(torch.from_numpy(result.scores), expected.scores)
            torch.testing.assert_close(
                torch.from_numpy(result.boxes), expected.boxes, atol=1e-3, rtol=0
            )


def test_the_best_engine_that_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    path = Path("model.onnx")
    assert choose_engine(Path("best.ckpt")) == "torch"
    assert choose_engine(Path("best.ckpt"), "onnx") == "onnx"
    here, gone = EngineKind("a", "B", "json", "x"), EngineKind("a", "B", "no_such_library", "y")
    for kinds, expected in (((here, here), "onnx"), ((gone, here), "openvino")):
        for name, kind in zip(("onnx", "openvino"), kinds, strict=True):
            monkeypatch.setitem(loading.ENGINES, name, kind)
        assert choose_engine(path) == expected
    with pytest.raises(UserError, match=r"needs no_such_library.*pip install 'mnv2-dense\[y\]'"):
        choose_engine(path, "onnx")


@pytest.mark.parametrize(
    ("name", "engine", "words"),
    [
        ("a.ckpt", "litert", r"a checkpoint is opened by torch or onnx or openvino, not by litert"),
        ("a.onnx", "torch", "a .onnx file is opened by onnx or openvino, not by torch"),
        ("a.tflite", "tensorrt", "engine=tensorrt is not known; allowed: litert, onnx"),
    ],
)
def test_engines_that_do_not_open_a_file(name: str, engine: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        choose_engine(Path(name), engine)


def test_what_cannot_be_opened(tmp_path: Path) -> None:
    for name in ("a.ckpt", "a.onnx"):
        with pytest.raises(UserError, match=f"{name}: no such checkpoint or exported model"):
            load(tmp_path / name)
        (tmp_path / name).write_bytes(b"no model")
        with pytest.raises(UserError, match=name):
            load(tmp_path / name)
    for threads in (0, 2.0, "2", True):
        words = f"threads is a whole number, at least 1, not {threads!r}"
        with pytest.raises(UserError, match=words):
            load(tmp_path / "a.onnx", threads=threads)  # pyrefly: ignore[bad-argument-type]
    with pytest.raises(UserError, match="device=cuda is for checkpoints"):
        load(tmp_path / "a.onnx", device="cuda")


def test_threads_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert default_threads() == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "many")
    assert default_threads() >= 1
