from pathlib import Path

from tests.commands.tiny import read_json, run_tool


def test_drawn_scenes_are_timed_where_no_data_are_given(tmp_path: Path) -> None:
    out = tmp_path / "figures.json"
    options = ["--pictures", 2, "--repetitions", 1, "--threads", 1, "--out", out]
    outcome = run_tool("benchmark", "loading", *options).require_success()
    assert "at most 0.18" in outcome.out
    detection, segmentation, colours = read_json(out)["sections"]
    assert {each["target"] for each in detection["ratios"]} >= {0.18}
    assert {each["target"] for each in segmentation["ratios"]} >= {0.5}
    assert colours["times"]


def test_mistakes(tmp_path: Path) -> None:
    outcome = run_tool("benchmark", "loading", "--pictures", 0)
    assert outcome.code == 2
    assert "--pictures is at least 1, not 0" in outcome.err
    outcome = run_tool("benchmark", "loading", "--coco", tmp_path, "--repetitions", 1)
    assert outcome.code == 2
    assert "not found: annotation file" in outcome.err
