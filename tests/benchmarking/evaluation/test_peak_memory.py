import json
from pathlib import Path
from typing import Any

import pytest

from mnv2_dense.benchmarking.evaluation.box_programs import OURS
from mnv2_dense.benchmarking.evaluation.peak_memory import measure_peak
from mnv2_dense.errors import UserError


def test_a_process_that_holds_more_has_a_higher_peak(tmp_path: Path) -> None:
    truth, results = tmp_path / "truth.json", tmp_path / "results.json"
    content: dict[str, list[Any]] = {"images": [], "annotations": [], "categories": []}
    truth.write_text(json.dumps({**content, "info": "x" * 60_000_000}))
    results.write_text("[]")
    large = measure_peak(OURS, truth, results, loaded=True)
    truth.write_text(json.dumps(content))
    small = measure_peak(OURS, truth, results, loaded=False)
    assert 0.01 < small < large - 0.05


def test_a_process_that_fails_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "none.json"
    with pytest.raises(UserError, match=r"ours: a process .* failed: .*none\.json"):
        measure_peak(OURS, missing, missing, loaded=False)
