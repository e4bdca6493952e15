from pathlib import Path

import pytest

from mnv2_dense.benchmarking.training.lightning_loop import BY_HAND, LIGHTNING, measure_lightning
from mnv2_dense.benchmarking.training.subjects import Subject


@pytest.mark.filterwarnings("ignore")
def test_both_ways_take_turns(subject: Subject, tmp_path: Path) -> None:
    run = tmp_path / "run"
    timings = measure_lightning(subject, 2, run)
    assert {name: len(each.seconds) for name, each in timings.items()} == {LIGHTNING: 2, BY_HAND: 2}
    rows = (run / "metrics.csv").read_text().splitlines()
    assert len(rows) > 5, "every step is logged"
