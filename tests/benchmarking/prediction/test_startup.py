import time
from pathlib import Path

import pytest
from PIL import Image

from mnv2_dense.benchmarking.prediction import startup
from mnv2_dense.benchmarking.prediction.startup import measure_startup
from mnv2_dense.benchmarking.prediction.subjects import Subject
from mnv2_dense.errors import UserError
from tests.benchmarking.prediction.tiny_networks import PICTURE

IMPORT = 0.3
PACKAGE = f"""
import sys, time
time.sleep({IMPORT})
class Predictor:
    def predict(self, picture):
        time.sleep({IMPORT})
def load(weights, engine, threads):
    assert (weights, engine, threads) == ("weights", None, 3), (weights, engine, threads)
    return Predictor()
"""


def install(folder: Path, content: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package in the place of ours, in the folder that a process starts in."""
    (folder / "mnv2_dense.py").write_text(content)
    monkeypatch.chdir(folder)


def test_the_import_and_the_first_result_are_in_the_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, PACKAGE + "sys.modules['torch'] = sys", monkeypatch)
    seconds, torch_came = measure_startup(Path("weights"), None, 3, Path("picture"))
    assert seconds > 2 * IMPORT
    assert torch_came


def test_what_ends_after_the_result_is_not_in_the_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(startup, "PROCESSES", 1)
    install(tmp_path, PACKAGE + "import atexit; atexit.register(time.sleep, 1)", monkeypatch)
    start = time.perf_counter()
    seconds, torch_came = measure_startup(Path("weights"), None, 3, Path("picture"))
    assert seconds < time.perf_counter() - start - 0.9
    assert not torch_came


def test_a_process_that_fails_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "raise ValueError('out of order')", monkeypatch)
    with pytest.raises(UserError, match=r"^weights: a process .* failed: ValueError: out of order"):
        measure_startup(Path("weights"), None, 3, Path("picture"))


def test_an_exported_file_starts_without_torch(
    segmenter: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(startup, "PROCESSES", 1)
    picture = tmp_path / "picture.png"
    Image.fromarray(PICTURE).save(picture)
    seconds, torch_came = measure_startup(segmenter.path("onnx"), "onnx", 1, picture)
    assert seconds > 0.1
    assert not torch_came
