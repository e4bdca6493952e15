from pathlib import Path

import numpy as np
import onnx
import pytest

from mnv2_dense.errors import UserError
from mnv2_dense.exporting.onnx_file import build_model, write
from mnv2_dense.prediction.engine import DetectorArrays
from mnv2_dense.prediction.onnx_engine import OnnxEngine
from tests.exporting.networks import pictures, tiny


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("onnx") / "detector.onnx"
    write(*tiny("detection"), path)
    return path


def test_it_gives_boxes_inside_the_picture_best_first(detector: Path) -> None:
    engine = OnnxEngine(detector, threads=1)
    assert engine.name.startswith("ONNX Runtime ")
    images = pictures(engine.manifest, 2).numpy()
    found = engine.run(images)
    assert isinstance(found, DetectorArrays)
    assert [each.dtype for each in found] == [np.float32, np.float32, np.int64]
    assert (np.diff(found.scores) <= 0).all()
    assert (found.boxes >= 0).all()
    assert (found.boxes <= 1).all()
    few = engine.run(images, score_threshold=float(found.scores[0, 3]))
    assert isinstance(few, DetectorArrays)
    assert (few.scores[0] > 0).sum() == (found.scores[0] >= found.scores[0, 3]).sum()


def test_torn_and_foreign_files_are_refused_in_one_line(detector: Path, tmp_path: Path) -> None:
    torn, text, foreign = (tmp_path / f"{name}.onnx" for name in ("torn", "text", "foreign"))
    torn.write_bytes(detector.read_bytes()[:5000])
    text.write_text("no network")
    model = build_model(*tiny("detection"))
    del model.metadata_props[:]
    onnx.save(model, foreign)
    for path, message in (
        (torn, "cannot be opened by ONNX Runtime"),
        (text, "cannot be opened by ONNX Runtime"),
        (foreign, "was not exported by mnv2_dense"),
        (tmp_path / "none.onnx", "no such file"),
        (tmp_path, "no such file"),
    ):
        with pytest.raises(UserError, match=message) as refusal:
            OnnxEngine(path)
        assert str(refusal.value).startswith(str(path))
        assert "\n" not in str(refusal.value)


def test_a_manifest_of_another_task_is_refused(detector: Path, tmp_path: Path) -> None:
    model = onnx.load(detector)
    _, manifest = tiny("segmentation")
    onnx.helper.set_model_props(model, {"mnv2_dense": manifest.to_json()})
    onnx.save(model, tmp_path / "mixed.onnx")
    with pytest.raises(UserError, match="damaged"):
        OnnxEngine(tmp_path / "mixed.onnx")


def test_pictures_of_another_size_are_refused(detector: Path) -> None:
    with pytest.raises(UserError, match="cannot be run"):
        OnnxEngine(detector, threads=1).run(np.zeros((1, 5, 5, 3), np.uint8))


def test_files_beside_it_are_not_read(detector: Path, tmp_path: Path) -> None:
    """Weights that a file says are elsewhere may name any file of the user's."""
    model = onnx.load(detector)
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(10**6))
    (tmp_path / "models").mkdir()
    tensor = next(each for each in model.graph.initializer if len(each.raw_data) > 100)
    tensor.data_location = onnx.TensorProto.EXTERNAL
    length = len(tensor.raw_data)
    tensor.ClearField("raw_data")
    for key, value in (("location", "../secret"), ("offset", "0"), ("length", str(length))):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    path = tmp_path / "models" / "network.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(UserError, match="cannot be opened"):
        OnnxEngine(path)
