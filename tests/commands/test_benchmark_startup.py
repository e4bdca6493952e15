from collections.abc import Iterator
from pathlib import Path

import pytest

from mnv2_dense.benchmarking.ratios import Ratio
from mnv2_dense.benchmarking.report import Section
from mnv2_dense.commands import benchmark_startup
from tests.commands.tiny import COCO_CONFIG, read_json, run_tool


def test_a_shipped_config_is_what_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measure(config: Path, repetitions: int) -> Iterator[Section]:
        assert config.samefile(COCO_CONFIG)
        yield Section("answers", ratios=[Ratio("seconds: help", repetitions / 10, 0.1, 0.3)])

    monkeypatch.setattr(benchmark_startup, "measure_answers", measure)
    out = tmp_path / "figures.json"
    outcome = run_tool("benchmark", "startup", "--repetitions", 2, "--threads", 1, "--out", out)
    assert "at most 0.3  reached  seconds: help" in outcome.require_success().out
    assert read_json(out)["sections"][0]["ratios"][0]["value"] == 0.2
