import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mnv2_dense.commands.outputs import JOB_FOLDER
from mnv2_dense.commands.prediction_end import FAILED
from mnv2_dense.prediction import loading
from mnv2_dense.prediction.predictor import Predictor
from tests.commands.tiny import Outcome, read_json, run_tool
from tests.prediction.networks import SIZE, Brightness, Colors

COUNT = 6


@pytest.fixture(params=["detection", "segmentation"])
def engine(request: pytest.FixtureRequest) -> Any:
    return Brightness() if request.param == "detection" else Colors()


@pytest.fixture
def model(tmp_path: Path, engine: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that is opened as an engine by hand."""
    path = tmp_path / "model.onnx"
    path.write_bytes(b"by hand")

    def load(*_: object, threads: int | None, **__: object) -> Predictor:
        return Predictor(engine, threads or 2)

    monkeypatch.setattr(loading, "load", load)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Pictures of rising brightness; the third one is broken."""
    (tmp_path / "in").mkdir()
    for number in range(COUNT):
        shade = (10, 40 * number, 20)
        Image.new("RGB", SIZE[::-1], shade).save(tmp_path / "in" / f"{number}.png")
    broken = tmp_path / "in" / "2.png"
    broken.write_bytes(broken.read_bytes()[:60])
    return tmp_path / "in"


def predict(model: Path, out: Path, *arguments: object) -> Outcome:
    return run_tool("predict", *arguments, "--weights", model, "--out", out)


@pytest.mark.parametrize("options", [(), ("--batch", 4), ("--threads", 3)])
def test_a_folder_by_an_exported_model(
    model: Path, folder: Path, tmp_path: Path, engine: Any, options: tuple[object, ...]
) -> None:
    """The network runs several pictures at once, and the results are in order."""
    out = tmp_path / "out"
    outcome = predict(model, out, folder, "--json-lines", *options)
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)
    assert outcome.err.startswith(f"error: 1 of {COUNT} pictures failed: {folder / '2.png'}: ")
    assert "of 5 pictures, seen by by hand\n" in outcome.out
    detects = isinstance(engine, Brightness)
    name = "detections" if detects else "shares"
    records = read_json(out / f"{name}.json")
    lines = [json.loads(line) for line in (out / f"{name}.jsonl").read_text().splitlines()]
    assert [line["image_id"] for line in lines] == [0, 1, 3, 4, 5]
    assert [record for line in lines for record in line["records"]] == records
    given = [Path(record["file_name"]).stem for record in records]
    assert given == (["3", "4", "5"] if detects else ["0", "1", "3", "4", "5"])
    if detects:  # from 0.3
        assert [round(record["score"] * 255) for record in records] == [120, 160, 200]
    else:
        assert [list(record["shares"]) for record in records] == [["blue"], *[["green"]] * 4]
        with Image.open(out / "label_maps" / "5.png") as drawn:
            assert (np.asarray(drawn) == 1).all()


def test_without_drawings(model: Path, folder: Path, tmp_path: Path, engine: Any) -> None:
    """The same records and label maps, and no other picture."""
    outputs = tmp_path / "drawn", tmp_path / "bare"
    detects = isinstance(engine, Brightness)
    name = "detections.json" if detects else "shares.json"
    predict(model, outputs[0], folder)
    outcome = predict(model, outputs[1], folder, "--no-drawings")
    assert (" box\n" if detects else " -> ") in outcome.out
    assert read_json(outputs[1] / name) == read_json(outputs[0] / name)
    kept = {JOB_FOLDER, name} | ({"label_maps"} if not detects else set())
    assert {path.name for path in outputs[1].iterdir()} == kept
    if not detects:
        assert len(list((outputs[1] / "label_maps").iterdir())) == COUNT - 1
    outcome = predict(model, outputs[1], folder, "--no-drawings")
    assert f"{COUNT - 1} of {COUNT} pictures are done already" in outcome.out
    outcome = predict(model, outputs[1], folder)
    assert "were made with drawings=False, and now it is True; give another" in outcome.err


def test_patterns_and_overrides(model: Path, folder: Path, tmp_path: Path) -> None:
    outcome = predict(model, tmp_path / "out", f"{folder}/[35].png").require_success()
    assert "records of 2 pictures" in outcome.out
    outcome = predict(model, tmp_path / "a", folder, "input.height=64")
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)
    assert "input.height=64: an exported model cannot be changed" in outcome.err
    outcome = predict(model, tmp_path / "a", folder, "--top", 3)
    assert f"--top is for classifiers; {model} is a " in outcome.err
    assert not (tmp_path / "a").exists()


def test_what_is_missing_is_named_and_the_rest_is_done(
    model: Path, folder: Path, tmp_path: Path, engine: Any
) -> None:
    out, pattern = tmp_path / "out", f"{folder}/*.jpg"
    (tmp_path / "empty").mkdir()
    first, gone, last = folder / "4.png", folder / "gone.png", folder / "5.png"
    arguments = (first, gone, pattern, tmp_path / "empty", "", last, "--json-lines")
    outcome = predict(model, out, *arguments)
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)
    named = (f"{gone}: no such file or folder; {pattern}: matches no picture", "an empty text is")
    assert outcome.err.startswith(f"error: 4 of 6 pictures failed: {named[0]}")
    assert named[1] in outcome.err
    assert "wrote" in outcome.out
    assert "2 records of 2 pictures" in outcome.out
    if isinstance(engine, Brightness):
        assert f"{first}: 1 box -> {out / '4.png'}\n" in outcome.out
    failed = [json.loads(line) for line in (out / JOB_FOLDER / FAILED).read_text().splitlines()]
    assert [each["file_name"] for each in failed] == list(map(str, arguments[1:5]))
    # What has come meanwhile is done, and the rest stays as it is.
    gone.write_bytes(last.read_bytes())
    outcome = predict(model, out, first, gone, last).require_success()
    assert "2 of 3 pictures are done already" in outcome.out
    assert not (out / JOB_FOLDER / FAILED).exists()


def test_where_nothing_is_found_nothing_is_written(model: Path, tmp_path: Path) -> None:
    gone, pattern = tmp_path / "gone.png", str(tmp_path / "*.gif")
    outcome = predict(model, tmp_path / "out", gone)
    assert (outcome.code, outcome.err) == (2, f"error: {gone}: no such file or folder\n")
    outcome = predict(model, tmp_path / "out", gone, pattern)
    assert outcome.err.startswith(f"error: {gone}: no such file or folder; {pattern}: matches no")
    assert not (tmp_path / "out").exists()


def test_json_lines_replace_no_file_of_the_users(
    model: Path, folder: Path, tmp_path: Path, engine: Any
) -> None:
    name = "detections.jsonl" if isinstance(engine, Brightness) else "shares.jsonl"
    (tmp_path / name).write_text("mine")
    outcome = predict(model, tmp_path, folder, "--json-lines")
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)
    assert (tmp_path / name).read_text() == "mine"
    assert not (tmp_path / JOB_FOLDER).exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--threads", 0], "--threads is at least 1, not 0"),
        (["--batch", 0], "--batch is at least 1, not 0"),
    ],
)
def test_options_out_of_range(tmp_path: Path, arguments: list[object], words: str) -> None:
    outcome = predict(tmp_path / "model.onnx", tmp_path / "out", tmp_path, *arguments)
    assert outcome.code == 2
    assert words in outcome.err


def test_an_exported_model_has_no_device(tmp_path: Path) -> None:
    model = tmp_path / "model.onnx"
    model.write_bytes(b"not read")
    outcome = predict(model, tmp_path / "out", tmp_path, "--device", "cuda")
    words = f"error: {model}: device=cuda is for checkpoints; this file runs on the CPU\n"
    assert (outcome.code, outcome.err) == (2, words)


def test_an_engine_that_opens_no_checkpoints(trained_run: Path, tmp_path: Path) -> None:
    weights = trained_run / "checkpoints" / "best.ckpt"
    outcome = predict(weights, tmp_path / "out", tmp_path, "--engine", "litert")
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)
    words = f"error: {weights}: a checkpoint is opened by torch or onnx or openvino, not by litert"
    assert words in outcome.err
