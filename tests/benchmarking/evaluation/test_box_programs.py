import json
from pathlib import Path

import pytest

from mnv2_dense.benchmarking.evaluation.box_programs import (
    OURS,
    PROGRAMS,
    PYCOCOTOOLS,
    installed,
)
from mnv2_dense.benchmarking.evaluation.random_boxes import Counts, draw_boxes


def test_programs_agree(tmp_path: Path) -> None:
    truth, results = draw_boxes(Counts(10, 60, 300, 3))
    paths = tmp_path / "truth.json", tmp_path / "results.json"
    for path, content in zip(paths, (truth, results), strict=True):
        path.write_text(json.dumps(content))
    programs = installed()
    assert {OURS, PYCOCOTOOLS} <= set(programs)
    expected = programs[PYCOCOTOOLS].evaluate_files
    assert expected is not None
    numbers = expected(*paths)
    assert len(numbers) == 12
    for name, program in programs.items():
        # torchmetrics has boxes in float32.
        close = pytest.approx(numbers, abs=1e-4 if "torchmetrics" in name else 1e-9)
        assert program.evaluate(truth, results) == close, name
        if program.evaluate_files is not None:
            assert program.evaluate_files(*paths) == close, name


def test_what_is_not_installed_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    lacking = PROGRAMS[OURS]._replace(package="no_such_package")
    monkeypatch.setitem(PROGRAMS, "absent", lacking)
    assert "absent" not in installed()
