import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
import torch
from PIL import Image

from mnv2_dense.builders.opening import open_checkpoint, stored_config
from mnv2_dense.commands.columns import column_of
from mnv2_dense.commands.prediction_checkpoints import (
    ScaledSegmenter,
    looks_twice,
    open_weights,
)
from mnv2_dense.commands.prediction_kinds import Opened, Recorder, Source
from mnv2_dense.commands.prediction_models import ModelRecorder
from mnv2_dense.commands.prediction_options import Options
from mnv2_dense.commands.segmentation import SegmentationColumn
from mnv2_dense.config.schema import DetectionConfig
from mnv2_dense.errors import UserError
from mnv2_dense.exporting import onnx_file
from tests.commands.classifiers import classifier_checkpoint

PYTORCH = f"PyTorch {torch.__version__}"
FLIP = "evaluation.flip=true"


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pictures") / "a.png"
    pixels = np.random.default_rng(0).integers(0, 255, (60, 90, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def detector(trained_run: Path, tmp_path: Path) -> Path:
    """A copy, which may be spoiled."""
    return Path(shutil.copy(trained_run / "checkpoints" / "best.ckpt", tmp_path))


@pytest.fixture
def segmenter(segmentation_run: Path) -> str:
    return str(segmentation_run / "checkpoints" / "last.ckpt")


@pytest.fixture
def classifier(tmp_path: Path) -> str:
    torch.save(classifier_checkpoint(), tmp_path / "classifier.ckpt")
    return str(tmp_path / "classifier.ckpt")


def see(recorder: Recorder, picture: Path, out: Path) -> list[dict[str, object]]:
    """The records of a picture."""
    for name in recorder.result_folders:
        (out / name).mkdir(parents=True, exist_ok=True)
    return recorder.predict(Source(picture, 1, picture.stem), out).records


def sent(opened: Opened) -> Recorder:
    """The same network as another process opens it."""
    return pickle.loads(pickle.dumps(opened.opener))()


def test_other_processes_get_what_was_converted(
    detector: Path, picture: Path, tmp_path: Path
) -> None:
    """They neither convert the checkpoint nor read it, nor wait for PyTorch."""
    opened = open_weights(Options(str(detector), score_threshold=0.01, threads=1))
    detector.write_bytes(b"not read again")
    expected = see(opened.recorder, picture, tmp_path)
    assert expected
    assert see(sent(opened), picture, tmp_path) == expected
    (tmp_path / "opener").write_bytes(pickle.dumps(opened.opener))
    code = (
        "import pickle, sys; recorder = pickle.load(open(sys.argv[1], 'rb'))(); "
        "print(recorder.engine, 'torch' in sys.modules)"
    )
    command = [sys.executable, "-c", code, tmp_path / "opener"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert said == f"{opened.recorder.engine} False\n"
    assert said.startswith("ONNX Runtime ")


def test_what_cannot_be_converted_is_tried_once(
    detector: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> NoReturn:
        raise RuntimeError

    monkeypatch.setattr(onnx_file, "build_model", fail)
    opened = open_weights(Options(str(detector), threads=1))
    assert opened.recorder.engine == sent(opened).engine == PYTORCH
    assert caplog.text.count("PyTorch runs it") == 1


def test_the_device_is_where_pytorch_runs_it(detector: Path, segmenter: str) -> None:
    opened = open_weights(Options(str(detector), device="meta"))
    assert opened.recorder.engine == sent(opened).engine == PYTORCH
    for options in (
        Options(str(detector), device="nowhere"),
        Options(segmenter, [FLIP], device="x"),
    ):
        with pytest.raises(UserError, match=f"^device={options.device} cannot be used here: "):
            open_weights(options)
    with pytest.raises(UserError, match="device=cuda is for engine=torch; onnx runs on the CPU"):
        open_weights(Options(str(detector), engine="onnx", device="cuda"))


def test_a_threshold_below_the_checkpoints_own_is_obeyed(
    detector: Path, picture: Path, tmp_path: Path
) -> None:
    config = stored_config(detector)
    assert isinstance(config, DetectionConfig)
    own = config.decode.score_threshold
    counts = []
    for threshold in (1e-6, 0.9):
        options = Options(str(detector), score_threshold=threshold, engine="torch", threads=1)
        recorder = open_weights(options).recorder
        assert isinstance(recorder, ModelRecorder)
        stated = recorder.model.manifest.decoding["score_threshold"]
        assert stated == min(threshold, own)
        counts.append(len(see(recorder, picture, tmp_path)))
    assert counts[0] > counts[1]


@pytest.mark.parametrize("engine", [None, "torch"])
def test_a_segmenter_that_flips_sees_what_its_evaluation_sees(
    segmenter: str, picture: Path, tmp_path: Path, engine: str | None
) -> None:
    opened = open_weights(Options(segmenter, [FLIP], engine=engine))
    config, categories, task = open_checkpoint(Path(segmenter), [FLIP])
    column = column_of(config, task.eval(), categories)
    assert isinstance(column, SegmentationColumn)
    with Image.open(picture) as image:
        expected = column.see(np.array(image))
    for recorder in (opened.recorder, sent(opened)):
        assert isinstance(recorder, ScaledSegmenter)
        (record,) = see(recorder, picture, tmp_path)
        assert (record["width"], record["height"]) == (90, 60)
        with Image.open(tmp_path / "label_maps" / "a.png") as drawn:
            assert (np.array(drawn) == expected).all()
        assert (tmp_path / "overlays" / "a.png").is_file()


def test_no_other_engine_sees_a_picture_twice(segmenter: str) -> None:
    with pytest.raises(UserError, match=r"engine=onnx sees every picture once.*flip=false"):
        open_weights(Options(segmenter, [FLIP], engine="onnx"))


@pytest.mark.parametrize(
    ("override", "twice"),
    [
        (FLIP, True),
        ("evaluation.scales=[0.5,1.0]", True),
        ("evaluation.scales=[0.5]", True),
        ("evaluation.scales=[1.0]", False),
    ],
)
def test_scales_and_flips_are_several_looks(segmenter: str, override: str, *, twice: bool) -> None:
    assert looks_twice(stored_config(Path(segmenter), [override])) == twice


def test_a_detector_looks_once(detector: Path) -> None:
    assert not looks_twice(stored_config(detector))


def test_threads_are_those_of_pytorch_where_no_engine_has_its_own(
    classifier: str, segmenter: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", numbers.append)
    open_weights(Options(classifier))
    open_weights(Options(classifier, threads=3))
    open_weights(Options(segmenter, [FLIP, "training.threads=5"]))
    open_weights(Options(segmenter, [FLIP, "training.threads=5"], threads=4))
    assert numbers == [3, 5, 4]


def test_a_classifier_has_no_engines(classifier: str) -> None:
    for options in (Options(classifier, engine="torch"), Options(classifier, device="cpu")):
        with pytest.raises(UserError, match=f" segmenters and joint networks; {classifier} is a"):
            open_weights(options)


def test_another_process_opens_the_same_classifier(
    classifier: str, picture: Path, tmp_path: Path
) -> None:
    opened = open_weights(Options(classifier, top=2))
    expected = see(opened.recorder, picture, tmp_path)
    assert see(sent(opened), picture, tmp_path) == expected
    assert str(expected).count("'score'") == 2
