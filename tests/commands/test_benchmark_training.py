from pathlib import Path

import pytest

from mnv2_dense.benchmarking.training import subjects
from tests.benchmarking.training.tiny import TINY
from tests.commands.tiny import read_json, run_tool


@pytest.mark.filterwarnings("ignore")
def test_ratios_are_shown_and_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subjects, "SETTINGS", TINY)
    out = tmp_path / "figures.json"
    options = ["--task", "segmentation", "--repetitions", 1, "--threads", 1, "--out", out]
    outcome = run_tool("benchmark", "training", *options).require_success()
    assert "DeepLabv3 513, a training step of 2 pictures" in outcome.out
    assert "images per second: channels last / NCHW" in outcome.out
    step, around = read_json(out)["sections"]
    assert [each["target"] for each in step["ratios"]] == [1.2, None, 0.01, None]
    assert [each["target"] for each in around["ratios"]] == [1.03]


def test_a_batch_of_one_is_refused() -> None:
    outcome = run_tool("benchmark", "training", "--batch-size", 1)
    assert outcome.code == 2
    assert "--batch-size 1: batch norm needs 2 pictures at least" in outcome.err
