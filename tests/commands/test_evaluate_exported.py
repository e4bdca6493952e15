from pathlib import Path
from typing import Any

import pytest

from mnv2_dense.commands import evaluate as command
from mnv2_dense.prediction.predictor import Predictor
from mnv2_dense.prediction.torch_engine import TorchEngine
from tests.commands.tiny import CONFIG, Outcome, read_json, run_tool, tiny_overrides


@pytest.fixture(params=["trained_run", "segmentation_run"])
def run(request: pytest.FixtureRequest) -> Path:
    return request.getfixturevalue(request.param)


@pytest.fixture
def model(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkpoint under the name of an exported model, opened by torch."""
    path = tmp_path / "model.onnx"
    path.write_bytes((run / "checkpoints" / "last.ckpt").read_bytes())

    def load(path: Path, engine: str | None, *, threads: int | None) -> Predictor:
        return Predictor(TorchEngine(path, threads=1), 2)

    monkeypatch.setattr(command, "load", load)
    return path


def evaluate(model: Path, *arguments: object) -> Outcome:
    return run_tool("evaluate", model, *arguments, "--out", model.parent / "out")


def test_an_exported_model_gets_the_checkpoints_scores_and_files(model: Path, run: Path) -> None:
    outcome = evaluate(model, "--pictures", 1).require_success()
    out, expected = model.parent / "out", read_json(run / "metrics.json")
    metrics = read_json(out / "metrics.json")
    assert metrics["checkpoint"] == str(model)
    assert metrics["engine"].startswith("PyTorch ")
    assert metrics["precision"] == "float32"
    assert f"{model}: " in outcome.out
    assert f" in float32, run by {metrics['engine']}" in outcome.out
    for key in set(expected) - {"checkpoint", "checkpoint_seal", "per_class", "confusion_matrix"}:
        assert metrics[key] == pytest.approx(expected[key], abs=2e-3), key
    files = {"metrics.json", "evaluation.yaml", "pictures"}
    detects = "mAP" in metrics
    masks = {"confusion_matrix.csv", "confusion_matrix.png"}
    files |= {"detections.json", "errors.json"} if detects else masks
    assert {path.name for path in out.iterdir()} == files
    assert len(list((out / "pictures").iterdir())) == 1
    if detects:
        # A config may be given, by which its data are read; the network stays as it is.
        data = tiny_overrides(Path(metrics_root(out)), model.parent)[-2]
        again = evaluate(model, CONFIG, data).require_success()
        assert again.out.splitlines()[1:5] == outcome.out.splitlines()[1:5]


def metrics_root(out: Path) -> str:
    text = (out / "evaluation.yaml").read_text()
    return next(line for line in text.splitlines() if line.strip().startswith("root:")).split()[1]


def test_bad_pictures_stop_or_are_left_out(model: Path, shapes_set: Path, tmp_path: Path) -> None:
    pictures = sorted((shapes_set / "val2017").iterdir())
    before = pictures[0].read_bytes()
    try:
        pictures[0].write_bytes(before[:200])
        outcome = evaluate(model)
        assert (outcome.code, outcome.err.rstrip().splitlines()[-1][:7]) == (2, "error: ")
        assert str(pictures[0]) in outcome.err
        outcome = evaluate(model, "data.on_bad_image=skip").require_success()
    finally:
        pictures[0].write_bytes(before)
    unmeasured: dict[str, Any] = read_json(tmp_path / "out" / "metrics.json")["unmeasured"]
    assert (unmeasured["count"], unmeasured["of"]) == (1, len(pictures))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["input.height=64"], "input.height=64: "),
        (["--weights", "a.ckpt"], "--weights a.ckpt goes with a config"),
    ],
)
def test_what_an_exported_model_is_not_asked_for(
    model: Path, arguments: list[str], words: str
) -> None:
    outcome = evaluate(model, *arguments)
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)
    assert words in outcome.err
    assert not (model.parent / "out").exists()


def test_other_classes_or_another_task_are_refused(
    model: Path, segmentation_run: Path, trained_run: Path, tmp_path: Path
) -> None:
    detects = read_json_task(model) == "detection"
    other = (segmentation_run if detects else trained_run) / "config.yaml"
    outcome = evaluate(model, other)
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)
    assert "but the config of task" in outcome.err


def read_json_task(model: Path) -> str:
    return TorchEngine(model).manifest.task


def test_options_of_exported_models_alone(trained_run: Path) -> None:
    checkpoint = trained_run / "checkpoints" / "last.ckpt"
    for option in (["--engine", "onnx"], ["--threads", "2"], [str(CONFIG)]):
        outcome = run_tool("evaluate", checkpoint, *option)
        assert (outcome.code, outcome.err.count("\n")) == (2, 1)
        assert f"goes with an exported model, which {checkpoint} is not" in outcome.err
