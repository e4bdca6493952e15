from pathlib import Path

import pytest

from mnv2_dense.benchmarking.prediction import wanted
from mnv2_dense.benchmarking.prediction.subjects import Subject
from mnv2_dense.benchmarking.prediction.wanted import Wanted, check
from mnv2_dense.errors import UserError
from tests.benchmarking.prediction.tiny_networks import TINY_SEGMENTER


def test_a_task_is_one_or_both() -> None:
    assert Wanted().tasks == ("detection", "segmentation")
    assert Wanted(task="segmentation").tasks == ("segmentation",)


def test_a_model_is_of_the_task_and_input_that_are_timed(
    segmenter: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = [segmenter.path("onnx")]
    with pytest.raises(
        UserError, match=r"is for segmentation of 129x129; timed are detection of 32"
    ):
        check(Wanted(models=models))
    monkeypatch.setitem(wanted.SETTINGS, "segmentation", TINY_SEGMENTER)
    check(Wanted(models=models))
    with pytest.raises(UserError, match=r"129x129; timed are detection of 320$"):
        check(Wanted(models=models, task="detection"))


def test_models_are_told_apart_by_name() -> None:
    models = [Path("one/int8.onnx"), Path("two/int8.onnx")]
    with pytest.raises(UserError, match=r"--models: several are called int8\.onnx"):
        check(Wanted(models=models))
    with pytest.raises(UserError, match="--models: several are called torch"):
        check(Wanted(models=[Path("models/torch")]))


def test_a_tflite_file_is_timed_beside_the_segmenter(tmp_path: Path) -> None:
    path = tmp_path / "some.tflite"
    with pytest.raises(UserError, match="timed beside DeepLabv3; give --task segmentation"):
        check(Wanted(tflite=path, task="detection"))
    path.write_text("no model")
    with pytest.raises(UserError, match="cannot be opened"):
        check(Wanted(tflite=path))
